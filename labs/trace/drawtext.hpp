// drawtext.hpp - a picture as text: time | state | call | segment | call | state.
#pragma once
#include "picture.hpp"

namespace lab {

/// Names of hosts for their addresses.
using Names = std::map<string, string>;
inline string host_name(const Names& names, const Endpoint& end) {
    return names.count(end.host) ? names.at(end.host) : end.host;
}

class Text {
    static constexpr int shortest = 16;  // arrow that says something
    int width_, time_ = 11, state_ = 13, call_ = 11, arrow_;
    bool calls_left_out_ = false;
    const char *line_, *dotted_, *bar_;

    static string left(string text, int width) {
        text.resize(std::max(width, 0), ' ');
        return text;
    }
    static string right(const string& text, int width) {
        return string(std::max(0, width - int(text.size())), ' ') + text.substr(0, width);
    }
    static string centred(const string& text, int width) {
        return left(string(std::max(0, (width - int(text.size())) / 2), ' ') + text, width);
    }
    static string state(const Cell& cell) {
        switch (cell.claim) {
            case Claim::none:
                return "";
            case Claim::inferred:
                return string("(") + state_name(cell.state) + ")";
            case Claim::observed:
                return state_name(cell.state);
            default:
                return string("!!") + state_name(cell.state);
        }
    }
    static string seconds(int64_t time) {
        char text[32];
        snprintf(text, sizeof text, "%.6f", double(time) / 1e6);
        return text;
    }
    // A narrow picture: columns only as wide as what stands in them; where that is too wide still, without the calls.
    void fit(const std::vector<Picture>& pictures, int64_t zero) {
        int widest_call = call_;
        time_ = state_ = call_ = 0;
        for (auto& picture : pictures)
            for (auto& row : picture.rows) {
                time_ = std::max(time_, int(seconds(row.time - zero).size()));
                for (auto& cell : row.cell) {
                    state_ = std::max(state_, int(state(cell).size()));
                    call_ = std::max(call_, std::min(widest_call, int(cell.call.size())));
                }
            }
        auto room = [&] { return width_ - time_ - 2 * state_ - 2 * call_ - 5; };
        calls_left_out_ = room() < shortest && call_ > 0;
        if (calls_left_out_) call_ = 0;
        arrow_ = room();
    }
    // At blanks, to the width; what has none is longer.
    void print(string text) const {
        for (size_t blank; int(text.size()) > width_; text = "  " + text.substr(blank + 1)) {
            blank = text.rfind(' ', width_);
            if (blank == text.npos || text.find_first_not_of(' ') > blank) break;
            printf("%s\n", text.substr(0, text.find_last_not_of(' ', blank) + 1).c_str());
        }
        printf("%s\n", text.c_str());
    }
    string repeated(const char* piece, int times) const {
        string text;
        for (; times > 0; --times) text += piece;
        return text;
    }
    // "-- SYN seq 0 ----->": an arrow as long as the column, dotted when sent again, with an X when it is lost.
    string arrow(const Row& row, const Segment& s) const {
        string words = (row.wrong ? "!!" : "") + label(s), again = s.again ? " again" : s.fills_gap ? " late" : "";
        int room = arrow_ - 6 - (row.received ? 0 : 6) - int(again.size());
        for (auto less : {" ack ", " seq "})
            if (int(words.size()) > room) words = words.substr(0, words.find(less));
        words = words.substr(0, room) + again;
        const char* piece = s.again ? dotted_ : line_;
        int rest = arrow_ - 5 - int(words.size());
        bool right_going = s.side == client;
        string head = row.received ? (right_going ? ">" : "<") : "X";
        if (!row.received) rest -= 6;
        string gap = row.received ? "" : "      ";
        string shaft = repeated(piece, rest), tail = repeated(piece, 2);
        return right_going ? tail + " " + words + " " + shaft + head + gap
                           : gap + head + shaft + " " + words + " " + tail;
    }
    // What does not fit is left out from the end, never cut in two.
    string folded(string note) const {
        for (size_t part; int(note.size()) > arrow_ && (part = note.rfind(", ")) != note.npos;) note.erase(part);
        return centred(int(note.size()) + 4 > arrow_ ? note : ": " + note + " :", arrow_);
    }
    string middle(const Row& row, const Connection& c) const {
        if (row.folded) return folded(row.note);
        if (row.segment != Row::no_segment) return arrow(row, c.segments[row.segment]);
        return centred(row.note, arrow_);
    }

public:
    Text(int width, bool ascii, const std::vector<Picture>& pictures, int64_t zero)
        : width_(width),
          arrow_(width - time_ - 2 * state_ - 2 * call_ - 7),
          line_(ascii ? "-" : "\u2500"),
          dotted_(ascii ? "." : "\u2504"),
          bar_(ascii ? "|" : "\u2502") {
        if (arrow_ < 24) fit(pictures, zero);
    }

    void draw(const Picture& picture, int64_t zero, const Names& names) const {
        const Connection& c = *picture.connection;
        int side_width = state_ + call_ + 1;
        string host[2] = {host_name(names, c.end[client]), host_name(names, c.end[server])},
               address[2] = {c.end[client].text(), c.end[server].text()};
        auto heading = [&](const string& a, const string& b, const char* time) {
            int row = side_width * 2 + arrow_ + 2, size = int(b.size());
            int start = std::max(int(a.size()) + 2, std::min(side_width + arrow_ + 2, row - size));
            bool two_lines = time_ + 1 + start + size > width_;
            printf("%s %s%s%s\n", right(time, time_).c_str(), two_lines ? a.c_str() : left(a, start).c_str(),
                   two_lines ? "\n" : "", two_lines ? right(b, width_).c_str() : b.c_str());
        };
        heading("client" + (host[0] == c.end[0].host ? "" : " " + host[0]),
                "server" + (host[1] == c.end[1].host ? "" : " " + host[1]), "");
        heading(address[0], address[1], "seconds");
        int64_t before = picture.rows.empty() ? 0 : picture.rows[0].time;
        for (auto& row : picture.rows) {
            if (row.time - before >= 500000)
                printf("%*s %*s\n", time_, "", side_width + 1 + arrow_ / 2 + 4,
                       (": " + std::to_string((row.time - before) / 1000) + " ms :").c_str());
            before = std::max(row.time, row.until);
            bool start = &row == &picture.rows[0] && row.segment == Row::no_segment;
            string text = right(start ? "" : seconds(row.time - zero), time_) + " " +
                          left(state(row.cell[client]), state_) + " " + right(row.cell[client].call, call_) + bar_ +
                          middle(row, c) + bar_ + left(row.cell[server].call, call_) + " " + state(row.cell[server]);
            while (!text.empty() && text.back() == ' ') text.pop_back();
            printf("%s\n", text.c_str());
        }
        for (auto& remark : picture.remarks) print(remark);
    }
    void legend() const {
        const char* gap = width_ < 93 ? "\n  " : "   ";
        printf("\n  STATE observed in the kernel%s(STATE) follows from the segments%s!!STATE contradicts them\n", gap,
               gap);
        if (calls_left_out_)
            print("  The calls are left out: in " + std::to_string(width_) + " columns they have no room.");
    }
};

}  // namespace lab
