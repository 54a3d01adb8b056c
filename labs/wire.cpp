// wire - checks a connection in a capture against what is expected of it, as a partial order.
//
//   wire [options] CAPTURE 'C:SYN S:SYN+ACK C:ACK C:PSH(6) S:ACK S:PSH(6) C:FIN S:FIN C:ACK'
//
// Closing takes three segments or four, data is split and merged, ACKs ride along: two captures of the same thing
// differ line by line. The lesson is what TCP does promise, and what it leaves to chance; wire(1) says what each
// token means.
#include "../tcp.hpp"
#include "expectation.hpp"

using lab::Connection;
using lab::Event;
using std::string;

// What makes one connection the one asked for.
struct Choice {
    string port, client;
    int nth = 1;
    bool wants(const Connection& c) const {
        return (port.empty() || c.end[lab::server].port == port) &&
               (client.empty() || c.end[lab::client].host == client || c.end[lab::client].text() == client);
    }
    const Connection& among(const std::vector<Connection>& all) const {
        int left = nth;
        for (auto& c : all)
            if (wants(c) && --left == 0) return c;
        throw std::runtime_error("no connection" + (nth > 1 ? " number " + std::to_string(nth) : "") +
                                 (client.empty() ? "" : " from " + client) + (port.empty() ? "" : " to port " + port) +
                                 " in the capture; it has " + std::to_string(nth - left) + " such of " +
                                 std::to_string(all.size()));
    }
};

// "C:SYN S:SYN+ACK C:ACK C:PSH(6) ...": data in one direction added up, ACKs that say something new, no
// retransmissions.
static string notation(const Connection& connection) {
    auto events = lab::Events(connection).all();
    lab::Progress progress(connection);
    string text;
    for (size_t i = 0, shown = 0; i < events.size(); ++i, ++shown) {
        Event e = events[i];
        for (; e.kind == lab::Kind::data && i + 1 < events.size() && events[i + 1].kind == e.kind &&
               events[i + 1].side == e.side;
             ++i)
            e.bytes += events[i + 1].bytes, e.again |= events[i + 1].again;
        text += (text.empty() ? "" : " ") + e.text();
        size_t end = i + 1 < events.size() ? events[i + 1].segment : connection.segments.size();
        int64_t all = progress.sent[e.side][events[i].segment];
        for (size_t s = events[i].segment; s < end && e.kind != lab::Kind::rst; ++s)
            if (auto& answer = connection.segments[s];
                answer.side != e.side && answer.acks && answer.space() == 0 && !answer.rst && answer.ack >= all) {
                text += e.side == lab::client ? " S:ACK" : " C:ACK";
                break;
            }
    }
    return text;
}

static void list(const lab::Capture& capture, const Choice& choice) {
    int number = 0;
    for (auto& c : capture.connections)
        if (choice.wants(c))
            printf("%d %s %s %s\n", ++number, c.end[lab::client].text().c_str(), c.end[lab::server].text().c_str(),
                   notation(c).c_str());
}

static double seconds(const Connection& c, size_t segment) {
    return double(c.segments[segment].time - c.segments[0].time) / 1e6;
}

static void print_segments(const Connection& c) {
    for (size_t i = 0; i < c.segments.size(); ++i) {
        auto& s = c.segments[i];
        printf("%10.6f  %-16s seq %ld ack %ld%s\n", seconds(c, i), s.text().c_str(), long(s.seq), long(s.ack),
               s.again       ? "  (sent again)"
               : s.fills_gap ? "  (out of order)"
                             : "");
    }
}

// Expected beside seen, with an arrow where they part.
static void explain(const Connection& c, const std::vector<Event>& events, const lab::Verdict& verdict) {
    auto seen = [&](size_t i, bool optional = false) {
        char text[96];
        snprintf(text, sizeof text, "            %s", optional ? "(left out)" : "(yes)");
        if (i < events.size())
            snprintf(text, sizeof text, "%10.6f  %s", seconds(c, events[i].segment), events[i].text().c_str());
        return string(text);
    };
    printf("connection %s -> %s is not as expected\n\n", c.end[lab::client].text().c_str(),
           c.end[lab::server].text().c_str());
    printf("      %-20s | %10s  %s\n", "expected", "seen at", "seen");
    for (size_t i = 0; i < verdict.rows.size(); ++i) {
        auto& [token, event] = verdict.rows[i];
        size_t more = 0;
        while (i + 1 < verdict.rows.size() && verdict.rows[i + 1].first == token &&
               verdict.rows[i + 1].second != SIZE_MAX && event != SIZE_MAX)
            ++i, ++more;
        printf("      %-20s | %s%s\n", token.c_str(), seen(event, token.find('?') != token.npos).c_str(),
               more ? (" and " + std::to_string(more) + " more").c_str() : "");
    }
    printf("  --> %-20s | %s\n", verdict.next.c_str(),
           verdict.event < events.size() ? seen(verdict.event).c_str()
                                         : "            (no such thing until the capture ends)");
    for (size_t i = verdict.event + 1; i < events.size() && i < verdict.event + 6; ++i)
        printf("      %-20s | %s\n", "", seen(i).c_str());
    if (verdict.event + 6 < events.size())
        printf("      %-20s |             ... and %zu more\n", "", events.size() - verdict.event - 6);
}

int main(int argc, char** argv) try {
    Choice choice;
    bool only_list = false, verbose = false;
    auto operands = tcp::parse_options(
        argc, argv, "[options] CAPTURE EXPECTATION",
        {{'p', "port", "N", "connections to this server port", [&](auto v) { choice.port = v; }},
         {'c', "client", "ADDR[:PORT]", "connections of this client", [&](auto v) { choice.client = v; }},
         {'n', "nth", "N", "the N-th of them (1)",
          [&](auto v) { choice.nth = tcp::number("--nth", v, "1", "1000000"); }},
         {'l', "list", nullptr, "only list the connections; no EXPECTATION", [&](auto) { only_list = true; }},
         {'v', "verbose", nullptr, "print the segments of the connection", [&](auto) { verbose = true; }}},
        1, 2);
    if (operands.size() + only_list != 2)
        throw tcp::Usage_error(only_list ? "--list takes a CAPTURE and no EXPECTATION"
                                         : "EXPECTATION is missing; --help shows the usage");
    if (!only_list) lab::parse_expectation(operands[1]);
    auto capture = lab::read_capture(operands[0]);
    if (only_list) return list(capture, choice), 0;
    const Connection& connection = choice.among(capture.connections);
    if (verbose) print_segments(connection);
    auto events = lab::Events(connection).all();
    auto verdict = lab::Automaton(operands[1], connection, events).run();
    if (!verdict.as_expected) explain(connection, events, verdict);
    return verdict.as_expected ? 0 : 1;
} catch (const lab::Bad_token& error) {
    return tcp::report(tcp::Usage_error(error.what()));
} catch (const std::exception& error) { return tcp::report(error); }
