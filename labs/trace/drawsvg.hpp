// drawsvg.hpp - pictures as SVG: one self-contained file for a guide, a slide or a report. Each connection below the
// other, or those of one server and two clients' hosts together, on one time axis: the server in the middle.
#pragma once
#include <cstdarg>
#include <set>
#include <utility>
#include "drawtext.hpp"
#include "svgstyle.hpp"

namespace lab {

/// Where a connection is drawn: for each side its lifeline, its states, its calls.
struct Lane {
    int line[2], pill[2], call[2], bar[2];
    int right_of(int side) const {
        return line[side] > line[other(side)] ? 1 : -1;
    }  // 1: this side stands at the right
    int middle() const { return (line[client] + line[server]) / 2; }
};

class Svg {
    static constexpr int row_height = 42, slant = 12, gap_height = 30;
    const Names& names_;
    int64_t zero_;
    int width_ = 1250, y_ = 0;
    string body_;

    struct Item {
        size_t picture, row;
        int y;
    };  // a row of one of the pictures of a group
    struct Group {
        std::vector<const Picture*> pictures;
        std::vector<Lane> lanes;
        std::vector<Item> items;
    };

    static const Row& row_of(const Group& g, const Item& i) { return g.pictures[i.picture]->rows[i.row]; }

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
        static const char* const phases[] = {"idle", "est",  "open", "open", "act",  "act",
                                             "tw",   "idle", "pas",  "pas",  "idle", "act"};
        return phases[int(s)];
    }
    void pill(int x, int y, const Cell& cell) {
        bool seen = cell.claim == Claim::observed, wrong = cell.claim == Claim::contradicting;
        add("<rect x=\"%d\" y=\"%d\" width=\"160\" height=\"26\" rx=\"%d\" class=\"pill %s %s\"/>\n", x, y - 13,
            seen ? 4 : 13, phase(cell.state),
            wrong  ? "no"
            : seen ? "obs"
                   : "inf");
        string words = wrong  ? string("!! ") + state_name(cell.state)
                       : seen ? state_name(cell.state)
                              : string("(") + state_name(cell.state) + ")";
        text(x + 80, y + 5, seen || wrong ? "m b" : "m", "middle", words);
    }
    void bar(int x, int from, int to, const Cell& cell) {
        if (cell.claim != Claim::none && to > from)
            add("<rect x=\"%d\" y=\"%d\" width=\"8\" height=\"%d\" class=\"bar %s%s\"/>\n", x - 4, from, to - from,
                phase(cell.state), cell.claim == Claim::inferred ? " thin" : "");
    }
    void arrow(const Lane& lane, const Row& row, const Segment& s, int y, int arrival) {
        int way = lane.right_of(other(s.side)), from = lane.line[s.side] + 6 * way,
            to = lane.line[other(s.side)] - 6 * way;
        bool at_start =
            arrival > y + row_height / 2 || !row.received;  // where others may cross it, the words stand at its start
        if (!row.received) {
            to = from + (to - from) * 3 / 4;
            arrival = y + (arrival - y) * 3 / 4;
        }
        add("<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" class=\"arrow%s\"%s/>\n", from, y, to, arrival,
            s.again ? " again" : "", row.received ? " marker-end=\"url(#head)\"" : "");
        if (!row.received) add("<path d=\"M%d %dl14 14m0 -14l-14 14\" class=\"lost\"/>\n", to - 7, arrival - 7);
        string words = (row.wrong ? "!! " : "") + label(s) + (s.again ? ", again" : s.fills_gap ? ", late" : "");
        text(at_start ? from + 10 * way : lane.middle(), y - (at_start ? 6 : 3), s.syn || s.fin || s.rst ? "m b" : "m",
             !at_start ? "middle"
             : way > 0 ? "start"
                       : "end",
             words);
    }
    /// The names of the hosts; where a host has several connections, without ports.
    void header(const Group& g) {
        std::set<int> done;
        for (size_t p = 0; p < g.pictures.size(); ++p)
            for (int side : {client, server}) {
                const Endpoint& end = g.pictures[p]->connection->end[side];
                string host = host_name(names_, end);
                if (!done.insert(g.lanes[p].line[side]).second) continue;
                text(g.lanes[p].line[side], y_ + 34, "h", "middle",
                     (side == client ? "client" : "server") + (host == end.host ? "" : " " + host.substr(0, 40)));
                text(g.lanes[p].line[side], y_ + 58, "m f", "middle",
                     (g.pictures.size() > 1 ? end.host : end.text()).substr(0, 50));
            }
        text(108, y_ + 58, "s f", "end", "seconds");
        y_ += 96;
    }
    /// Where each row stands; pauses get room of their own.
    void place(Group& g) {
        for (size_t p = 0; p < g.pictures.size(); ++p)
            for (size_t r = 0; r < g.pictures[p]->rows.size(); ++r) g.items.push_back({p, r, 0});
        std::stable_sort(g.items.begin(), g.items.end(),
                         [&](auto& a, auto& b) { return row_of(g, a).time < row_of(g, b).time; });
        int64_t before = row_of(g, g.items[0]).time;
        int client_line = g.lanes[g.items[0].picture].line[client];
        for (auto& item : g.items) {
            const Row& row = row_of(g, item);
            // the server's state reaches into the other client's column
            if (std::exchange(client_line, g.lanes[item.picture].line[client]) != client_line) y_ += 18;
            if (row.time - before >= 500000) {
                char words[40];
                snprintf(words, sizeof words, "%.1f s pass", double(row.time - before) / 1e6);
                for (int x : lines(g))
                    add("<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" class=\"pause\"/>\n", x, y_ - 12, x,
                        y_ + gap_height - 16);
                text(g.lanes[0].middle(), y_ + 6, "s f", "middle", words);
                y_ += gap_height;
            }
            before = std::max(row.time, row.until);
            item.y = y_;
            y_ += row_height;
        }
    }
    static std::set<int> lines(const Group& g) {
        std::set<int> x;
        for (auto& lane : g.lanes) x.insert({lane.line[client], lane.line[server]});
        return x;
    }
    /// The times, the pills, the calls, and along each lifeline a bar for as long as a state lasts.
    void states(const Group& g) {
        struct Now {
            Cell cell;
            int since = 0;
        };
        std::map<std::pair<size_t, int>, Now> all;
        for (auto& item : g.items) {
            const Row& row = row_of(g, item);
            const Lane& lane = g.lanes[item.picture];
            int sender =
                row.segment == Row::no_segment ? -1 : g.pictures[item.picture]->connection->segments[row.segment].side;
            char time[32];
            snprintf(time, sizeof time, "%.6f", double(row.time - zero_) / 1e6);
            if (sender >= 0 || item.row) text(108, item.y + 5, "s f", "end", time);
            else if (g.pictures.size() > 1)
                text(lane.middle(), item.y + 5, "s f", "middle",
                     "port " + g.pictures[item.picture]->connection->end[client].port + " to port " +
                         g.pictures[item.picture]->connection->end[server].port);
            for (int side : {client, server}) {
                int y = item.y + (sender >= 0 && sender != side ? slant : 0);
                text(lane.call[side], y + 5, "c", lane.right_of(side) > 0 ? "start" : "end", row.cell[side].call);
                if (row.cell[side].claim == Claim::none) continue;
                Now& now = all[{item.picture, side}];
                bar(lane.bar[side], now.since, y, now.cell);
                now = {row.cell[side], y};
                pill(lane.pill[side], y, row.cell[side]);
            }
            if (item.row + 1 == g.pictures[item.picture]->rows.size())
                for (int side : {client, server})
                    bar(lane.bar[side], all[{item.picture, side}].since, item.y + row_height - 10,
                        all[{item.picture, side}].cell);
        }
    }
    void segments(const Group& g) {
        std::map<std::pair<size_t, size_t>, int> arrivals;  // of those that arrive in a row of their own
        for (auto& item : g.items)
            if (row_of(g, item).arrives != Row::no_segment) arrivals[{item.picture, row_of(g, item).arrives}] = item.y;
        for (auto& item : g.items) {
            const Row& row = row_of(g, item);
            const Lane& lane = g.lanes[item.picture];
            if (row.folded) {
                int x = std::min(lane.line[client], lane.line[server]) + 24;
                add("<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"28\" rx=\"6\" class=\"fold\"/>\n", x, item.y - 12,
                    2 * (lane.middle() - x));
                text(lane.middle(), item.y + 7, "s", "middle", row.note);
            } else if (row.segment != Row::no_segment) {
                auto late = arrivals.find({item.picture, row.segment});
                arrow(lane, row, g.pictures[item.picture]->connection->segments[row.segment], item.y,
                      late != arrivals.end() ? late->second : item.y + slant);
            }
        }
    }
    void draw(Group g) {
        header(g);
        int top = y_ - 20;
        size_t start = body_.size();
        place(g);
        string pauses = body_.substr(start);  // drawn over the lifelines
        body_.resize(start);
        for (int x : lines(g))
            add("<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" class=\"life\"/>\n", x, top, x, y_ - 10);
        states(g);
        segments(g);
        body_ += pauses;
        for (auto* picture : g.pictures)
            for (auto& remark : picture->remarks) {
                text(122, y_ + 14, "m b", "start", remark);
                y_ += 26;
            }
        y_ += 14;
    }

public:
    Svg(const Names& names, int64_t zero) : names_(names), zero_(zero) {}

    void draw(const Picture& p) { draw({{&p}, {{{430, 930}, {122, 1068}, {416, 944}, {430, 930}}}, {}}); }
    /// All on one time axis. The server's states stand opposite of the arrow. False: more than one server or two
    /// clients' hosts.
    bool draw_together(const std::vector<Picture>& pictures) {
        static const Lane lanes[] = {{{400, 850}, {122, 980}, {386, 868}, {400, 845}},
                                     {{1300, 850}, {1434, 560}, {1314, 832}, {1300, 855}}};
        std::vector<string> clients;
        Group g;
        for (auto& p : pictures) {
            const Endpoint* end = p.connection->end;
            if (end[server].host != pictures[0].connection->end[server].host) return false;
            size_t lane = std::find(clients.begin(), clients.end(), end[client].host) - clients.begin();
            if (lane == clients.size()) clients.push_back(end[client].host);
            if (lane > 1) return false;
            g.pictures.push_back(&p);
            g.lanes.push_back(lanes[lane]);
        }
        width_ = 1610;
        draw(g);
        return true;
    }
    string file() {
        int y = y_ + 20;
        struct {
            int x;
            Cell cell;
            const char* words;
        } legend[] = {{20, {Claim::observed, State::established, ""}, "observed in the kernel"},
                      {350, {Claim::inferred, State::established, ""}, "follows from the segments"},
                      {705, {Claim::contradicting, State::established, ""}, "contradicts them"}};
        for (auto& l : legend) {
            bool seen = l.cell.claim == Claim::observed, wrong = l.cell.claim == Claim::contradicting;
            add("<rect x=\"%d\" y=\"%d\" width=\"110\" height=\"26\" rx=\"%d\" class=\"pill est %s\"/>\n", l.x, y - 13,
                seen ? 4 : 13,
                wrong  ? "no"
                : seen ? "obs"
                       : "inf");
            text(l.x + 55, y + 5, seen || wrong ? "m b" : "m", "middle",
                 wrong  ? "!! STATE"
                 : seen ? "STATE"
                        : "(STATE)");
            text(l.x + 122, y + 5, "s f", "start", l.words);
        }
        add("<line x1=\"985\" y1=\"%d\" x2=\"1025\" y2=\"%d\" class=\"arrow again\" marker-end=\"url(#head)\"/>\n<path "
            "d=\"M1140 %dl14 14m0 -14l-14 14\" class=\"lost\"/>\n",
            y, y, y - 7);
        text(1034, y + 5, "s f", "start", "sent again");
        text(1162, y + 5, "s f", "start", "lost");
        string size = std::to_string(width_) + "\" height=\"" + std::to_string(y + 30);
        string view = std::to_string(width_) + " " + std::to_string(y + 30);
        return "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"ladder\" role=\"img\" width=\"" + size +
               "\" viewBox=\"0 0 " + view + "\">\n<title>TCP ladder</title>\n" + svg_style() +
               "<rect width=\"100%\" height=\"100%\" class=\"paper\"/>\n" + body_ + "</svg>\n";
    }
};

/// Draws all pictures below each other, or together, into the file.
inline void draw_svg(const string& path, const std::vector<Picture>& pictures, int64_t zero, const Names& names,
                     bool together) {
    Svg svg(names, zero);
    if (!together)
        for (auto& picture : pictures) svg.draw(picture);
    else if (!svg.draw_together(pictures))
        throw std::runtime_error(
            "--together takes connections of one server's host and at most two clients' hosts; --port chooses among "
            "them");
    FILE* file = path == "-" ? stdout : fopen(path.c_str(), "we");
    string text = svg.file();
    if (!file || fwrite(text.data(), 1, text.size(), file) != text.size() || fflush(file))
        throw Unreadable(tcp::printable(path) + ": " + strerror(errno));
    if (file != stdout) fclose(file);
}

}  // namespace lab
