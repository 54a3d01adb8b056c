// drawsvg.hpp - pictures as SVG: one self-contained file for a guide, a slide or a report, in light and dark. What is
// observed, inferred or contradicting differs by outline, weight and sign first, by colour last.
#pragma once
#include "drawtext.hpp"

namespace lab {

/// Text for XML: nothing in it is markup, and nothing is outside of printable ASCII.
inline string escaped(const string& text) {
    string safe;
    for (char c : text) safe += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : c < ' ' || c > '~' ? "?" : string(1, c);
    return safe;
}

class Svg {
    static constexpr int width = 1250, left = 430, right = 930, row_height = 42, slant = 12, gap_height = 30;
    const Names& names_;
    int64_t zero_;
    int y_ = 0;
    string body_;

    [[gnu::format(printf, 2, 3)]] void add(const char* format, ...) {
        char piece[1024];
        va_list values;
        va_start(values, format);
        vsnprintf(piece, sizeof piece, format, values);
        va_end(values);
        body_ += piece;
    }
    void text(int x, int y, const char* classes, const char* anchor, const string& words) {
        if (words.empty()) return;
        add("<text x=\"%d\" y=\"%d\" class=\"%s\" text-anchor=\"%s\">", x, y, classes, anchor);
        body_ += escaped(words) + "</text>\n";
    }
    static const char* phase(State s) {
        static const char* const phases[] = {"idle", "idle", "open", "open", "est", "act", "act", "pas", "act", "pas", "tw"};
        return phases[int(s)];
    }
    static int lifeline(int side) { return side == client ? left : right; }

    void pill(int side, int y, const Cell& cell) {
        bool seen = cell.claim == Claim::observed, wrong = cell.claim == Claim::contradicting;
        int x = side == client ? 122 : 1068;
        add("<rect x=\"%d\" y=\"%d\" width=\"160\" height=\"26\" rx=\"%d\" class=\"pill %s %s\"/>\n", x, y - 13, seen ? 4 : 13, phase(cell.state), wrong ? "no" : seen ? "obs" : "inf");
        string words = wrong ? string("!! ") + name(cell.state) : seen ? name(cell.state) : string("(") + name(cell.state) + ")";
        text(x + 80, y + 5, seen || wrong ? "m b" : "m", "middle", words);
    }
    void bar(int side, int from, int to, const Cell& cell) {
        if (cell.claim != Claim::none && to > from)
            add("<rect x=\"%d\" y=\"%d\" width=\"8\" height=\"%d\" class=\"bar %s%s\"/>\n", lifeline(side) - 4, from, to - from, phase(cell.state), cell.claim == Claim::inferred ? " thin" : "");
    }
    void arrow(const Row& row, const Segment& s, int y, int arrival) {
        int from = lifeline(s.side) + (s.side == client ? 6 : -6), to = lifeline(other(s.side)) + (s.side == client ? -6 : 6);
        bool crosses = arrival > y + row_height / 2;
        if (!row.received) to = from + (to - from) * 3 / 4, arrival = y + (arrival - y) * 3 / 4;
        add("<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" class=\"arrow%s\"%s/>\n", from, y, to, arrival, s.again ? " again" : "", row.received ? " marker-end=\"url(#head)\"" : "");
        if (!row.received) add("<path d=\"M%d %dl14 14m0 -14l-14 14\" class=\"lost\"/>\n", to - 7, arrival - 7);
        string words = (row.wrong ? "!! " : "") + label(s) + (s.again ? ", again" : s.fills_gap ? ", late" : "");
        bool at_start = crosses || !row.received;
        int x = at_start ? (s.side == client ? left + 16 : right - 16) : (left + right) / 2;
        text(x, y - (at_start ? 6 : 3), s.syn || s.fin || s.rst ? "m b" : "m", !at_start ? "middle" : s.side == client ? "start" : "end", words);
    }
    void header(const Connection& c) {
        for (int side : {client, server}) {
            string host = host_name(names_, c.end[side]);
            text(lifeline(side), y_ + 34, "h", "middle", (side == client ? "client" : "server") + (host == c.end[side].host ? "" : " " + host.substr(0, 40)));
            text(lifeline(side), y_ + 58, "m f", "middle", c.end[side].text().substr(0, 56));
        }
        text(108, y_ + 58, "s f", "end", "seconds");
        y_ += 96;
    }
    /// Where each row stands; pauses get room of their own.
    std::vector<int> places(const Picture& p) {
        std::vector<int> at;
        for (size_t i = 0; i < p.rows.size(); ++i) {
            int64_t pause = i ? p.rows[i].time - std::max(p.rows[i - 1].time, p.rows[i - 1].until) : 0;
            if (pause >= 500000) {
                char words[40];
                snprintf(words, sizeof words, "%.1f s pass", double(pause) / 1e6);
                text((left + right) / 2, y_ + 6, "s f", "middle", words);
                for (int x : {left, right}) add("<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" class=\"pause\"/>\n", x, y_ - 12, x, y_ + gap_height - 16);
                y_ += gap_height;
            }
            at.push_back(y_);
            y_ += row_height;
        }
        return at;
    }

    /// The times, the pills, the calls, and along each lifeline a bar for as long as a state lasts.
    void states(const Picture& p, const std::vector<int>& at, int top) {
        Cell now[2];
        int since[2] = {top, top};
        for (size_t i = 0; i < p.rows.size(); ++i) {
            const Row& row = p.rows[i];
            int sender = row.segment == Row::no_segment ? -1 : p.connection->segments[row.segment].side;
            char time[32];
            snprintf(time, sizeof time, "%.6f", double(row.time - zero_) / 1e6);
            if (row.segment != Row::no_segment || i) text(108, at[i] + 5, "s f", "end", time);
            for (int side : {client, server}) {
                int y = at[i] + (sender >= 0 && sender != side ? slant : 0);
                text(side == client ? left - 14 : right + 14, y + 5, "c", side == client ? "end" : "start", row.cell[side].call);
                if (row.cell[side].claim == Claim::none) continue;
                bar(side, since[side], y, now[side]);
                now[side] = row.cell[side], since[side] = y;
                pill(side, y, row.cell[side]);
            }
        }
        for (int side : {client, server}) bar(side, since[side], y_ - 10, now[side]);
    }
    void segments(const Picture& p, const std::vector<int>& at) {
        std::map<size_t, int> arrivals;  // of those that arrive in a row of their own
        for (size_t i = 0; i < p.rows.size(); ++i)
            if (p.rows[i].arrives != Row::no_segment) arrivals[p.rows[i].arrives] = at[i];
        for (size_t i = 0; i < p.rows.size(); ++i) {
            const Row& row = p.rows[i];
            if (row.folded) {
                add("<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"28\" rx=\"6\" class=\"fold\"/>\n", left + 24, at[i] - 12, right - left - 48);
                text((left + right) / 2, at[i] + 7, "s", "middle", row.note);
            } else if (row.segment != Row::no_segment) {
                arrow(row, p.connection->segments[row.segment], at[i], arrivals.count(row.segment) ? arrivals[row.segment] : at[i] + slant);
            }
        }
    }

public:
    Svg(const Names& names, int64_t zero) : names_(names), zero_(zero) {}

    void draw(const Picture& p) {
        header(*p.connection);
        int top = y_ - 20;
        size_t start = body_.size();
        std::vector<int> at = places(p);
        string pauses = body_.substr(start);  // drawn over the lifelines
        body_.resize(start);
        for (int x : {left, right}) add("<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" class=\"life\"/>\n", x, top, x, y_ - 10);
        states(p, at, top), segments(p, at);
        body_ += pauses;
        for (auto& remark : p.remarks) text(122, y_ + 14, "m b", "start", remark), y_ += 26;
        y_ += 14;
    }
    string file() {
        int y = y_ + 20;
        struct { int x; Cell cell; const char* words; } legend[] = {
            {20, {Claim::observed, State::established, ""}, "observed in the kernel"},
            {350, {Claim::inferred, State::established, ""}, "follows from the segments"},
            {705, {Claim::contradicting, State::established, ""}, "contradicts them"}};
        for (auto& l : legend) {
            bool seen = l.cell.claim == Claim::observed, wrong = l.cell.claim == Claim::contradicting;
            add("<rect x=\"%d\" y=\"%d\" width=\"110\" height=\"26\" rx=\"%d\" class=\"pill est %s\"/>\n", l.x, y - 13, seen ? 4 : 13, wrong ? "no" : seen ? "obs" : "inf");
            text(l.x + 55, y + 5, seen || wrong ? "m b" : "m", "middle", wrong ? "!! STATE" : seen ? "STATE" : "(STATE)");
            text(l.x + 122, y + 5, "s f", "start", l.words);
        }
        add("<line x1=\"985\" y1=\"%d\" x2=\"1025\" y2=\"%d\" class=\"arrow again\" marker-end=\"url(#head)\"/>\n<path d=\"M1140 %dl14 14m0 -14l-14 14\" class=\"lost\"/>\n", y, y, y - 7);
        text(1034, y + 5, "s f", "start", "sent again"), text(1162, y + 5, "s f", "start", "lost");
        string size = std::to_string(width) + "\" height=\"" + std::to_string(y + 30);
        string view = std::to_string(width) + " " + std::to_string(y + 30);
        return "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"ladder\" role=\"img\" width=\"" + size + "\" viewBox=\"0 0 " + view + "\">\n<title>TCP ladder</title>\n" + style() +
               "<rect width=\"100%\" height=\"100%\" class=\"paper\"/>\n" + body_ + "</svg>\n";
    }
    static const char* style() {
        return R"(<defs><marker id="head" viewBox="0 0 12 10" refX="11" refY="5" markerWidth="12" markerHeight="10" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L12 5L0 10z" class="tip"/></marker></defs>
<style>
.ladder text{font-family:"DejaVu Sans Mono",Menlo,Consolas,monospace;fill:#1b1f24}
.ladder .m{font-size:15px}.ladder .b{font-weight:bold}.ladder .s{font-size:14px}.ladder .c{font-size:15px;font-style:italic}
.ladder .h{font-family:"DejaVu Sans",Verdana,Arial,sans-serif;font-size:20px;font-weight:bold}.ladder .f{fill:#57606a}
.ladder .paper{fill:#fff}.ladder .life{stroke:#57606a;stroke-width:2}.ladder .pause{stroke:#fff;stroke-width:5;stroke-dasharray:5 5}
.ladder .arrow{stroke:#1b1f24;stroke-width:2}.ladder .again{stroke-dasharray:3 6}.ladder .lost{stroke:#1b1f24;stroke-width:3.5;fill:none}.ladder .tip{fill:#1b1f24}
.ladder .fold{fill:#eaeef2;stroke:#8c959f;stroke-dasharray:2 4}
.ladder .idle{fill:#8c959f;stroke:#8c959f}.ladder .open{fill:#0072b2;stroke:#0072b2}.ladder .est{fill:#009e73;stroke:#009e73}
.ladder .act{fill:#d55e00;stroke:#d55e00}.ladder .pas{fill:#b0509a;stroke:#b0509a}.ladder .tw{fill:#e69f00;stroke:#e69f00}
.ladder .pill{fill-opacity:.16}.ladder .obs{stroke-width:2.5}.ladder .inf{fill-opacity:0;stroke-width:1.5;stroke-dasharray:4 3}.ladder .no{fill-opacity:0;stroke-width:5}
.ladder .bar{stroke:none}.ladder .thin{fill-opacity:.45}
@media (prefers-color-scheme:dark){
.ladder text{fill:#e6edf3}.ladder .f{fill:#a8b2bd}.ladder .paper{fill:#0d1117}.ladder .life{stroke:#a8b2bd}.ladder .pause{stroke:#0d1117}
.ladder .arrow,.ladder .lost{stroke:#e6edf3}.ladder .tip{fill:#e6edf3}.ladder .fold{fill:#21262d}
.ladder .pill{fill-opacity:.3}.ladder .inf,.ladder .no{fill-opacity:0}.ladder .open{stroke:#56b4e9}.ladder .pas{stroke:#cc79a7}}
</style>
)";
    }
};

/// Draws all pictures below each other into the file.
inline void draw_svg(const string& path, const std::vector<Picture>& pictures, int64_t zero, const Names& names) {
    Svg svg(names, zero);
    for (auto& picture : pictures) svg.draw(picture);
    FILE* file = path == "-" ? stdout : fopen(path.c_str(), "we");
    string text = svg.file();
    if (!file || fwrite(text.data(), 1, text.size(), file) != text.size() || fflush(file)) throw Unreadable(path + ": " + strerror(errno));
    if (file != stdout) fclose(file);
}

}  // namespace lab
