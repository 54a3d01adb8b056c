// segments.hpp - captures for the tests, from the textbook's notation: "C:SYN S:SYN+ACK C:ACK C:1(6) S:ACK C:FIN".
// A number before (n) is the relative sequence number of data; "(ack)" behind a flag is the acknowledgement when it
// is not everything the peer has sent; ".." lets 200 ms pass. Each is written as tcpdump -n -S prints it and read
// back.
#pragma once
#include <sstream>
#include "../labs/trace/expectation.hpp"
#include "../labs/trace/machine.hpp"
#include "../labs/trace/tcpdump.hpp"

using std::string;

inline lab::Capture text_capture(const string& text) {
    FILE* file = fmemopen(const_cast<char*>(text.data()), std::max<size_t>(text.size(), 1), "r");
    auto capture = text.empty() ? lab::Capture() : lab::read_lines(file, lab::Printed::unknown);
    fclose(file);
    return capture;
}

/// The lines of tcpdump. `isn`: of the client; the server's is 77 higher.
inline string script(const string& words, uint32_t isn = 1000) {
    std::istringstream in(words);
    string text, word;
    uint32_t next[2] = {0, 0}, fin_at[2] = {0, 0}, base[2] = {isn, isn + 77};  // relative, but for base
    static int second = 0;
    while (in >> word) {
        if (word == "..") {
            second += 200000;
            continue;
        }
        int side = word[0] == 'S', length = 0;
        unsigned seq = next[side];
        string what = word.substr(2), flags;
        int ack = -1;
        if (isdigit(what[0])) {
            if (sscanf(what.c_str(), "%u(%d)", &seq, &length) < 2) length = 0;
            flags = length ? "P" : "";
            if (what.back() == 'F') flags += "F";
        } else {
            if (what.find("SYN") != what.npos) flags += "S", seq = 0;
            if (what.find("FIN") != what.npos)
                flags += "F", seq = fin_at[side] ? fin_at[side] : std::max(1u, next[side]);
            if (what.find("RST") != what.npos) flags += "R", seq = next[side];
            if (size_t open = what.find('('); open != what.npos) ack = atoi(what.c_str() + open + 1);
        }
        bool bare = what == "SYN" || what == "RST";
        if (!bare) flags += ".";
        char line[300];
        snprintf(line, sizeof line,
                 "12:00:%02d.%06d IP 10.98.0.%d.%d > 10.98.0.%d.%d: Flags [%s], seq %u, ack %u, win 9, length %d\n",
                 second / 1000000 % 60, second % 1000000, side ? 1 : 2, side ? 8990 : 40000, side ? 2 : 1,
                 side ? 40000 : 8990, flags.c_str(), base[side] + seq,
                 base[!side] + (ack >= 0 ? unsigned(ack) : next[!side]), length);
        string s = line;
        if (bare) s.erase(s.find(", ack"), s.find(", win") - s.find(", ack"));
        text += s, second += 100;
        if (flags.find('F') != flags.npos) fin_at[side] = seq + length;
        bool syn = flags.find('S') != flags.npos, fin = flags.find('F') != flags.npos;
        next[side] = std::max<unsigned>(next[side], seq + length + syn + fin);
    }
    return text;
}
inline lab::Connection connection(const string& words, uint32_t isn = 1000) {
    return text_capture(script(words, isn)).connections.at(0);
}
