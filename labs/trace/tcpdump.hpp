// tcpdump.hpp - reads a capture: a pcap (through tcpdump) or the text that tcpdump printed, with names or numbers, with
// absolute or relative sequence numbers, cut off or damaged.
#pragma once
#include "../../program.hpp"
#include "capture.hpp"

namespace lab {

/// The number after `key` in `text`, looked for from `from` on; -1 if there is none.
inline int64_t number_after(const string& text, const char* key, size_t from) {
    size_t at = text.find(key, from);
    if (at == text.npos || !isdigit((unsigned char)text[at += strlen(key)])) return -1;
    return int64_t(std::min<unsigned long long>(strtoull(text.c_str() + at, nullptr, 10), UINT32_MAX));
}

/// "10.98.0.1.8990", "vit001.lab.http", "::1.8990": the port stands after the last dot.
inline bool split_endpoint(const string& text, Endpoint& endpoint) {
    size_t dot = text.rfind('.');
    if (dot == text.npos || dot == 0 || dot + 1 == text.size() || text.size() > 300) return false;
    endpoint = {text.substr(0, dot), text.substr(dot + 1)};
    for (string* part : {&endpoint.host, &endpoint.port})  // names come from somebody's name server
        for (char& c : *part)
            if (!isalnum((unsigned char)c) && !strchr("._:%-", c)) c = '?';
    return true;
}

/// The clock that stands at the beginning of a line: -tt (epoch), -tttt (date and time), none of them (time of day),
/// -ttt and -ttttt (a blank, then the time since the line before, or since the first).
class Clock {
    int64_t day_ = 0, before_ = 0;
    bool decreases_ = false;

    static int64_t microseconds(double seconds) {
        return seconds >= 0 && seconds < 61 ? std::llround(seconds * 1e6) : 0;
    }

public:
    bool epoch = false, since = false;
    int64_t read(const string& line) {
        int year, month, dayofmonth, h = 0, m = 0, at = 0;
        double s = 0;
        const char* text = line.c_str();
        since |= *text == ' ';
        if (sscanf(text, "%d-%d-%d%n", &year, &month, &dayofmonth, &at) == 3 && at >= 8 && month > 0 && month < 13) {
            tm date{};
            date.tm_year = std::min(std::max(year, 1970), 9999) - 1900;
            date.tm_mon = month - 1;
            date.tm_mday = std::min(std::max(dayofmonth, 1), 31);
            date.tm_isdst = -1;
            if (sscanf(text + at, "%d:%d:%lf", &h, &m, &s) != 3) return before_;
            date.tm_hour = h % 24;
            date.tm_min = m % 60;
            epoch = true;
            return before_ = int64_t(mktime(&date)) * 1000000 + microseconds(s);
        }
        if (sscanf(text, "%2d:%2d:%lf", &h, &m, &s) == 3) {
            int64_t now = (int64_t(h) * 3600 + m * 60) * 1000000 + microseconds(s);
            decreases_ |= now < before_;
            if (!since && now + day_ + 43200000000 < before_) day_ += 86400000000;  // midnight
            return before_ = now + day_;
        }
        if (long long seconds = 0;
            sscanf(text, "%lld.%n", &seconds, &at) == 1 && at > 0 && seconds < 1LL << 40 && seconds >= 0) {
            string digits = string(text + at, strspn(text + at, "0123456789")).substr(0, 6);
            digits.resize(6, '0');
            epoch = true;
            return before_ = seconds * 1000000 + atol(digits.c_str());
        }
        return before_;
    }
    /// The times of -ttt go up and down, those of -ttttt only up.
    bool deltas() const { return since && decreases_; }
};

/// A line of tcpdump as a segment; false for everything that is not one.
inline bool parse_segment(const string& line, Segment& s) {
    size_t flags = line.find(": Flags ["), close = line.find(']', flags == line.npos ? 0 : flags);
    size_t arrow = flags == line.npos ? flags : line.rfind(" > ", flags);
    if (arrow == line.npos || close == line.npos || close - flags > 24) return false;
    size_t start = arrow ? line.rfind(' ', arrow - 1) : line.npos;
    start = start == line.npos ? 0 : start + 1;
    if (!split_endpoint(line.substr(start, arrow - start), s.from) ||
        !split_endpoint(line.substr(arrow + 3, flags - arrow - 3), s.to))
        return false;
    for (size_t i = flags + 9; i < close; ++i) {
        s.syn |= line[i] == 'S';
        s.fin |= line[i] == 'F';
        s.rst |= line[i] == 'R';
        s.push |= line[i] == 'P';
        s.acks |= line[i] == '.';
    }
    int64_t seq = number_after(line, ", seq ", close), ack = number_after(line, ", ack ", close),
            length = number_after(line, ", length ", close);
    s.has_seq = seq >= 0;
    s.acks &= ack >= 0;
    s.raw_seq = uint32_t(std::max<int64_t>(seq, 0));
    s.raw_ack = uint32_t(std::max<int64_t>(ack, 0));
    size_t colon = s.has_seq ? line.find_first_not_of("0123456789", line.find(", seq ", close) + 6) : line.npos;
    int64_t last = colon != line.npos && line[colon] == ':' ? strtoll(line.c_str() + colon + 1, nullptr, 10) : -1;
    s.length = length >= 0 ? length : last >= 0 ? int64_t(uint32_t(last) - s.raw_seq) : 0;
    if (s.length > 1 << 20) return false;  // no IP packet is that long
    s.window = number_after(line, ", win ", close);
    s.clock = number_after(line, "TS val ", close);
    if (s.rst) s.length = 0;  // what a reset carries is a remark for the reader, not data
    return s.has_seq || s.acks || s.rst;
}

/// Lines of any length, without their end; what exceeds 8 kB of a line is skipped, a NUL ends it.
inline bool next_line(FILE* file, string& line) {
    char buffer[8192];
    if (!fgets(buffer, sizeof buffer, file)) return false;
    line = buffer;
    for (size_t n = line.size(); n == sizeof buffer - 1 && buffer[n - 1] != '\n'; n = strlen(buffer))
        if (!fgets(buffer, sizeof buffer, file)) break;
        else if (strlen(buffer) < sizeof buffer - 1) break;
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
    return true;
}

/// Puts segments into their connections.
class Grouping {
    std::map<std::pair<Endpoint, Endpoint>, size_t> current_;

public:
    Capture capture;
    void add(const Segment& s, Printed printed) {
        auto key = s.from < s.to ? std::make_pair(s.from, s.to) : std::make_pair(s.to, s.from);
        auto at = current_.find(key);
        if (at == current_.end() || capture.connections[at->second].begins_again(s)) {
            Connection fresh;
            fresh.whole = s.syn;
            // Who opens is the client. Without a SYN: who answers from the port that looks more like a server's, the
            // lower.
            bool from_server =
                s.syn ? s.acks : strtoul(s.from.port.c_str(), nullptr, 10) < strtoul(s.to.port.c_str(), nullptr, 10);
            fresh.end[client] = from_server ? s.to : s.from;
            fresh.end[server] = from_server ? s.from : s.to;
            current_[key] = capture.connections.size();
            capture.connections.push_back(std::move(fresh));
        }
        capture.connections[current_[key]].add(s, printed);
        ++capture.segments;
        capture.end = std::max(capture.end, s.time);
    }
};

/// How the numbers of a text are to be read: those that come soon after a SYN's show it.
inline Printed printed_how(const std::vector<Segment>& segments) {
    std::map<std::pair<Endpoint, Endpoint>, uint32_t> syn;
    int64_t relative = 0, absolute = 0;
    auto look = [&](const Endpoint& from, const Endpoint& to, uint32_t number) {
        auto isn = syn.find({from, to});
        if (isn == syn.end()) return;
        relative += number < 65536;
        absolute += number - isn->second < 65536;
    };
    for (auto& s : segments) {
        if (s.syn) {
            syn[{s.from, s.to}] = s.raw_seq;
            continue;
        }
        if (s.has_seq) look(s.from, s.to, s.raw_seq);
        if (s.acks) look(s.to, s.from, s.raw_ack);
    }
    return absolute > relative ? Printed::absolute : relative > absolute ? Printed::relative : Printed::unknown;
}

/// Reads all of `lines`.
inline Capture read_lines(FILE* lines, Printed printed) {
    std::vector<Segment> segments;
    Clock clock;
    string line, header, note;
    while (next_line(lines, line)) {
        size_t blanks = strspn(line.c_str(), " "), number = blanks + strspn(line.c_str() + blanks, "0123456789");
        if (number > blanks && line.compare(number, 2, "  ") == 0)
            line.erase(0, number + 2);  // -#: "    1  12:00:00.000000 IP"
        if (line.compare(0, 9, "tcpdump: ") == 0) note = line.substr(9);
        bool indented = line.empty() || line[0] == '\t' || line.compare(0, 4, "    ") == 0;
        if (!indented) {  // -v prints the IP header first and the segment on the next, indented line
            header = line.find(": Flags [") == line.npos && line.find("IP") != line.npos ? line : "";
            if (!header.empty()) continue;
        } else if (header.empty() || line[0] == '\t') {
            header.clear();
            continue;  // what a packet carries, printed below it
        }
        Segment s;
        s.time = clock.read(header.empty() ? line : header);
        header.clear();
        if (parse_segment(line, s)) segments.push_back(std::move(s));
    }
    if (printed == Printed::unknown) printed = printed_how(segments);
    Grouping grouping;
    int64_t sum = 0;
    for (auto& s : segments) {
        if (clock.deltas()) s.time = sum += s.time;
        grouping.add(s, printed);
    }
    grouping.capture.note = note;
    grouping.capture.epoch = clock.epoch;
    return std::move(grouping.capture);
}

/// Reads the file at `path`: a pcap or pcapng through tcpdump, anything else as tcpdump's text; "-" is standard
/// input, text.
inline Capture read_capture(const string& path) {
    FILE* file = path == "-" ? stdin : fopen(path.c_str(), "re");
    if (!file) throw Unreadable(tcp::printable(path) + ": " + strerror(errno));
    unsigned char magic[4] = {};
    size_t size = file == stdin ? 0 : fread(magic, 1, 4, file);
    if (ferror(file)) {
        int e = errno;
        fclose(file);
        throw Unreadable(tcp::printable(path) + ": " + strerror(e));
    }
    uint32_t word = uint32_t(magic[0]) << 24 | magic[1] << 16 | magic[2] << 8 | magic[3];
    bool pcap = size == 4 && (word == 0xd4c3b2a1 || word == 0xa1b2c3d4 || word == 0x4d3cb2a1 || word == 0xa1b23c4d ||
                              word == 0x0a0d0d0a);
    if (!pcap) {
        if (file != stdin) rewind(file);
        Capture capture = read_lines(file, Printed::unknown);
        if (file != stdin) fclose(file);
        if (capture.segments == 0 && file == stdin)
            throw Unreadable("standard input: no TCP segments; it takes what tcpdump prints, a pcap has to be a file");
        if (capture.segments == 0 && size > 0)
            throw Unreadable(tcp::printable(path) + ": no TCP segments; neither a pcap nor what tcpdump prints");
        return capture;
    }
    fclose(file);
    string quoted;
    for (char c : path) quoted += c == '\'' ? string("'\\''") : string(1, c);
    // -S: absolute sequence numbers; -vv: also those of segments without data (keep-alive probes); -K: no checksums.
    FILE* lines =
        popen(("PATH=$PATH:/usr/sbin:/sbin exec tcpdump -n -tt -S -vv -K -r - <'" + quoted + "' 2>&1").c_str(), "re");
    if (!lines) throw Unreadable(string("tcpdump: ") + strerror(errno));
    Capture capture = read_lines(lines, Printed::absolute);
    int status = pclose(lines);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        throw Unreadable("tcpdump is not installed: apt-get install tcpdump");
    if (capture.segments == 0 && status != 0)
        throw Unreadable(tcp::printable(path) + ": tcpdump cannot read it" +
                         (capture.note.empty() ? "" : ": " + tcp::printable(capture.note)));
    return capture;
}

}  // namespace lab
