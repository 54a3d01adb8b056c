// wire - checks a connection in a capture against what is expected of it, as a partial order.
//
//   wire [options] CAPTURE 'C:SYN S:SYN+ACK C:ACK C:PSH(6) S:ACK S:PSH(6) C:FIN S:FIN C:ACK'
//
// Closing takes three segments or four, data is split and merged, ACKs ride along: two captures of the same thing
// differ line by line. The lesson is what TCP does promise, and what it leaves to chance; wire(1) says what each
// token means.
#include "../../program.hpp"
#include "expectation.hpp"
#include "tcpdump.hpp"

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
        for (auto& c : all) {
            if (wants(c) && --left == 0) return c;
        }
        string which = "no connection";
        if (nth > 1) which += " number " + std::to_string(nth);
        if (!client.empty()) which += " from " + tcp::printable(client);
        if (!port.empty()) which += " to port " + tcp::printable(port);
        throw std::runtime_error(which + " in the capture; it has " + std::to_string(nth - left) + " such of " +
                                 std::to_string(all.size()));
    }
};

// Has the other side, from segment `from` on and before `to`, acknowledged all that `side` has sent until then?
static bool is_acknowledged(const Connection& connection, const lab::Progress& progress, int side, size_t from,
                            size_t to) {
    for (size_t i = from; i < to; ++i) {
        auto& answer = connection.segments[i];
        bool pure = answer.side != side && answer.acks && answer.space() == 0 && !answer.rst;
        if (pure && answer.ack >= progress.sent[side][from]) return true;
    }
    return false;
}

// "C:SYN S:SYN+ACK C:ACK C:PSH(6) ...": data in one direction added up, ACKs that say something new, no
// retransmissions.
static string notation(const Connection& connection) {
    auto events = lab::Events(connection).all();
    lab::Progress progress(connection);
    string text;
    for (size_t i = 0, next; i < events.size(); i = next) {
        Event sum = events[i];
        next = i + 1;
        while (sum.kind == lab::Kind::data && next < events.size() && events[next].kind == sum.kind &&
               events[next].side == sum.side) {
            sum.bytes += events[next].bytes;
            sum.again |= events[next].again;
            ++next;
        }
        if (!text.empty()) text += " ";
        text += sum.text();
        size_t last = events[next - 1].segment, end = connection.segments.size();
        if (next < events.size()) end = events[next].segment;
        if (sum.kind == lab::Kind::rst || !is_acknowledged(connection, progress, sum.side, last, end)) continue;
        text += sum.side == lab::client ? " S:ACK" : " C:ACK";
    }
    return text;
}

static void list(const lab::Capture& capture, const Choice& choice) {
    int number = 0;
    for (auto& each : capture.connections) {
        if (!choice.wants(each)) continue;
        printf("%d %s %s %s\n", ++number, each.end[lab::client].text().c_str(), each.end[lab::server].text().c_str(),
               notation(each).c_str());
    }
}

static double seconds(const Connection& c, size_t segment) {
    return double(c.segments[segment].time - c.segments[0].time) / 1e6;
}

static void print_segments(const Connection& c) {
    for (size_t i = 0; i < c.segments.size(); ++i) {
        auto& s = c.segments[i];
        const char* remark = "";
        if (s.fills_gap) remark = "  (out of order)";
        if (s.again) remark = "  (sent again)";
        printf("%10.6f  %-16s seq %ld ack %ld%s\n", seconds(c, i), s.text().c_str(), long(s.seq), long(s.ack), remark);
    }
}

// "  0.000123  C:PSH(6)"
static string seen(const Connection& c, const Event& event) {
    char text[96];
    snprintf(text, sizeof text, "%10.6f  %s", seconds(c, event.segment), event.text().c_str());
    return text;
}

static void print_row(const char* arrow, const string& expected, const string& found) {
    printf("%5s %-20s | %s\n", arrow, expected.c_str(), found.c_str());
}

// Expected beside seen, with an arrow where they part.
static void explain(const Connection& c, const std::vector<Event>& events, const lab::Verdict& verdict) {
    const string nothing(12, ' ');
    printf("connection %s -> %s is not as expected\n\n", c.end[lab::client].text().c_str(),
           c.end[lab::server].text().c_str());
    print_row("", "expected", "   seen at  seen");
    for (size_t i = 0, next; i < verdict.rows.size(); i = next) {
        auto& [token, event] = verdict.rows[i];
        for (next = i + 1; next < verdict.rows.size() && event != SIZE_MAX; ++next) {
            if (verdict.rows[next].first != token || verdict.rows[next].second == SIZE_MAX) break;
        }
        string found = nothing + (token.find('?') == token.npos ? "(yes)" : "(left out)");
        if (event < events.size()) found = seen(c, events[event]);
        if (next > i + 1) found += " and " + std::to_string(next - i - 1) + " more";
        print_row("", token, found);
    }
    size_t at = verdict.event;
    print_row("-->", verdict.next,
              at < events.size() ? seen(c, events[at]) : nothing + "(no such thing until the capture ends)");
    size_t shown = std::min(at + 6, events.size());
    for (size_t i = at + 1; i < shown; ++i) print_row("", "", seen(c, events[i]));
    if (at + 6 < events.size())
        print_row("", "", nothing + "... and " + std::to_string(events.size() - shown) + " more");
}

int main(int argc, char** argv) try {
    Choice choice;
    bool only_list = false, verbose = false;
    auto operands = tcp::parse_options(
        argc, argv, "[options] CAPTURE EXPECTATION",
        {{'p', "port", "N", "connections to this server port", [&](auto v) { choice.port = v; }},
         {0, "client", "ADDR[:PORT]", "connections of this client", [&](auto v) { choice.client = v; }},
         {'n', "nth", "N", "the N-th of them (1)",
          [&](auto v) { choice.nth = tcp::number("--nth", v, "1", "1000000"); }},
         {0, "list", nullptr, "only list the connections; no EXPECTATION", [&](auto) { only_list = true; }},
         {'v', "verbose", nullptr, "print the segments of the connection", [&](auto) { verbose = true; }}},
        1, 2);
    tcp::open_standard_descriptors();
    if (only_list && operands.size() == 2) throw tcp::Usage_error("--list takes a CAPTURE and no EXPECTATION");
    if (!only_list && operands.size() == 1) throw tcp::Usage_error("EXPECTATION is missing; --help shows the usage");
    if (!only_list) lab::parse_expectation(operands[1]);
    auto capture = lab::read_capture(operands[0]);
    if (only_list) {
        list(capture, choice);
        return 0;
    }
    const Connection& connection = choice.among(capture.connections);
    if (verbose) print_segments(connection);
    auto events = lab::Events(connection).all();
    auto verdict = lab::Automaton(operands[1], connection, events).run();
    if (!verdict.as_expected) explain(connection, events, verdict);
    return verdict.as_expected ? 0 : 1;
} catch (const lab::Bad_token& error) {
    return tcp::report(tcp::Usage_error(error.what()));
} catch (const std::exception& error) { return tcp::report(error); }
