// machine_test.cpp - labs/trace/machine.hpp against RFC 9293: every transition that a segment can cause, and what it must
// leave alone.
#include "catch.hpp"
#include "segments.hpp"

using namespace lab;

// "client SYN_SENT>ESTABLISHED>..." as the machine goes through it.
static string path(const Connection& c, int side) {
    State initial[2];
    auto all = transitions(c, initial);
    string text = state_name(initial[side]);
    for (auto& t : all)
        if (t.side == side) text += string(" ") + state_name(t.to);
    return text;
}
static void check(const string& words, const string& at_client, const string& at_server) {
    INFO(words);
    auto c = connection(words);
    CHECK(path(c, client) == at_client);
    CHECK(path(c, server) == at_server);
}
static const string opening = "C:SYN S:SYN+ACK C:ACK ", opens_c = "CLOSED SYN_SENT ESTABLISHED",
                    opens_s = "LISTEN SYN_RECV ESTABLISHED";

TEST_CASE("opening: ordinary, simultaneous, refused, not answered", "[seeing]") {
    check("C:SYN S:SYN+ACK C:ACK", opens_c, opens_s);
    check("C:SYN S:SYN C:SYN+ACK S:SYN+ACK", "CLOSED SYN_SENT SYN_RECV ESTABLISHED",
          "CLOSED SYN_SENT SYN_RECV ESTABLISHED");
    check("C:SYN S:RST+ACK", "CLOSED SYN_SENT CLOSED", "CLOSED");
    check("C:SYN C:SYN C:SYN", "CLOSED SYN_SENT", "CLOSED");
    check("C:SYN S:SYN+ACK S:SYN+ACK S:SYN+ACK", "CLOSED SYN_SENT", "LISTEN SYN_RECV");
}
TEST_CASE("closing: one after the other, in three segments, at the same time", "[seeing]") {
    check(opening + "C:FIN S:ACK S:FIN C:ACK", opens_c + " FIN_WAIT1 FIN_WAIT2 TIME_WAIT",
          opens_s + " CLOSE_WAIT LAST_ACK CLOSED");
    check(opening + "S:FIN C:ACK C:FIN S:ACK", opens_c + " CLOSE_WAIT LAST_ACK CLOSED",
          opens_s + " FIN_WAIT1 FIN_WAIT2 TIME_WAIT");
    check(opening + "C:FIN S:FIN C:ACK", opens_c + " FIN_WAIT1 TIME_WAIT", opens_s + " CLOSE_WAIT LAST_ACK CLOSED");
    check(opening + "C:FIN S:FIN(1) C:ACK S:ACK", opens_c + " FIN_WAIT1 CLOSING TIME_WAIT",
          opens_s + " FIN_WAIT1 CLOSING TIME_WAIT");
    check(opening + "S:FIN C:FIN(1) S:ACK C:ACK", opens_c + " FIN_WAIT1 CLOSING TIME_WAIT",
          opens_s + " FIN_WAIT1 CLOSING TIME_WAIT");
    check(opening + "C:1(6)F S:1(6)F C:ACK", opens_c + " FIN_WAIT1 TIME_WAIT", opens_s + " CLOSE_WAIT LAST_ACK CLOSED");
    check("C:SYN S:SYN+ACK C:FIN S:ACK", opens_c + " FIN_WAIT1 FIN_WAIT2",
          "LISTEN SYN_RECV CLOSE_WAIT");  // the FIN is the third segment
    check("C:SYN S:SYN+ACK S:FIN C:ACK", "CLOSED SYN_SENT ESTABLISHED CLOSE_WAIT",
          "LISTEN SYN_RECV FIN_WAIT1 FIN_WAIT2");
}
TEST_CASE("half-close: data goes on in the other direction", "[seeing]") {
    check(opening + "C:FIN S:ACK S:1(100) C:ACK S:101(100) C:ACK S:FIN C:ACK",
          opens_c + " FIN_WAIT1 FIN_WAIT2 TIME_WAIT", opens_s + " CLOSE_WAIT LAST_ACK CLOSED");
}
TEST_CASE("a reset in every state", "[seeing]") {
    auto ends = [](const string& before, const char* end_c, const char* end_s, const char* by) {
        auto c = connection(before + " " + by);
        string at_c = path(c, client), at_s = path(c, server);
        INFO(before << ' ' << by << ": " << at_c << " | " << at_s);
        CHECK(at_c.substr(at_c.rfind(' ') + 1) == end_c);
        CHECK(at_s.substr(at_s.rfind(' ') + 1) == end_s);
    };
    ends("C:SYN", "CLOSED", "CLOSED", "S:RST+ACK");              // SYN_SENT
    ends("C:SYN S:SYN+ACK", "CLOSED", "LISTEN", "C:RST");        // SYN_RECV, passive: back to LISTEN
    ends("C:SYN S:SYN C:SYN+ACK", "CLOSED", "CLOSED", "C:RST");  // SYN_RECV, after a simultaneous open
    for (auto by : {"C:RST", "S:RST+ACK"}) {
        ends(opening, "CLOSED", "CLOSED", by);                                    // ESTABLISHED
        ends(opening + "C:FIN", "CLOSED", "CLOSED", by);                          // FIN_WAIT1 and CLOSE_WAIT
        ends(opening + "C:FIN S:ACK", "CLOSED", "CLOSED", by);                    // FIN_WAIT2
        ends(opening + "C:FIN S:FIN(1) C:ACK S:ACK(1)", "CLOSED", "CLOSED", by);  // CLOSING and TIME_WAIT
        ends(opening + "C:FIN S:ACK S:FIN", "CLOSED", "CLOSED", by);              // TIME_WAIT and LAST_ACK
    }
}
TEST_CASE("a bare reset in SYN_SENT answers an old acknowledgement; the attempt goes on", "[seeing]") {
    // a listener that is gone has left a TIME_WAIT: SYN, challenge ACK, RST, the SYN again, refused (facts 5.7)
    check("C:SYN S:ACK(77777) C:RST C:SYN S:RST+ACK", "CLOSED SYN_SENT CLOSED", "CLOSED");
}
TEST_CASE("what a bare reset answers was taken by nobody", "[seeing]") {
    // the client's orphan in FIN_WAIT2 is gone after a minute: data, or the FIN, gets a reset (facts 5.3, 5.5)
    check(opening + "C:FIN S:ACK S:FIN C:RST", opens_c + " FIN_WAIT1 FIN_WAIT2 CLOSED",
          opens_s + " CLOSE_WAIT LAST_ACK CLOSED");
    check(opening + "C:FIN S:ACK S:1(6) C:RST", opens_c + " FIN_WAIT1 FIN_WAIT2 CLOSED",
          opens_s + " CLOSE_WAIT CLOSED");
    // closing with data unread resets too, but says how far it had got
    check(opening + "S:FIN C:RST+ACK", opens_c + " CLOSE_WAIT CLOSED", opens_s + " FIN_WAIT1 CLOSED");
}
TEST_CASE("a reset behind a FIN shows that the FIN was received", "[seeing]") {
    check(opening + "C:FIN S:FIN(1) C:RST", opens_c + " FIN_WAIT1 CLOSED", opens_s + " FIN_WAIT1 CLOSING CLOSED");
}
TEST_CASE("segments that RFC 9293 does not allow", "[seeing]") {
    auto complaints = [](const string& words) {
        State initial[2];
        std::map<size_t, string> found;
        transitions(connection(words), initial, &found);
        return found;
    };
    CHECK(complaints(opening + "C:1(6) S:ACK C:FIN S:FIN C:ACK").empty());
    CHECK(complaints(opening + "C:FIN S:ACK S:1(6) C:ACK S:FIN S:FIN C:ACK").empty());
    CHECK(complaints(opening + "C:FIN S:ACK C:2(6)").at(5) == "sends behind its own FIN");
    CHECK(complaints(opening + "C:RST C:1(6)").at(4) == "sends data or FIN in CLOSED");
}
TEST_CASE("what got lost was not received", "[seeing]") {
    check(opening + "C:FIN C:FIN C:FIN", opens_c + " FIN_WAIT1", opens_s);
    check(opening + "C:FIN C:FIN S:ACK", opens_c + " FIN_WAIT1 FIN_WAIT2", opens_s + " CLOSE_WAIT");
    check(opening + "C:FIN S:FIN C:ACK S:FIN C:ACK", opens_c + " FIN_WAIT1 TIME_WAIT",
          opens_s + " CLOSE_WAIT LAST_ACK CLOSED");
    Connection c = connection(opening + "C:FIN S:FIN C:ACK S:FIN C:ACK");
    State initial[2];
    auto all = transitions(c, initial);
    CHECK(all.back().segment == 7);  // the second of the last ACKs closes the server's end: the first was lost
    check("C:SYN S:SYN+ACK C:ACK S:SYN+ACK C:ACK S:SYN+ACK C:ACK", opens_c,
          opens_s);  // a full accept queue drops the third ACK
}
TEST_CASE("a keep-alive with one old byte says nothing about the ACK before", "[seeing]") {
    string text = script(opening + "C:1(6) S:ACK .. C:6(1) S:ACK .. C:6(1) S:ACK");
    auto ack_is_lost = [&] {
        auto c = text_capture(text).connections.at(0);
        return Receipts(c)[6] == Receipts::lost;
    };
    CHECK(ack_is_lost());  // data with PSH: a retransmission
    for (size_t at = 0, n = 0; (at = text.find("[P.]", at)) != string::npos; ++at)
        if (n++) text.erase(at + 1, 1);
    CHECK(!ack_is_lost());
}
TEST_CASE("data never changes a state, nor does an ACK of data", "[seeing]") {
    check(opening + "C:1(6) S:ACK S:1(6) C:ACK", opens_c, opens_s);
    check(opening + "C:1(6) S:1(6) C:7(6) S:7(6)", opens_c, opens_s);
}
TEST_CASE("a capture that begins in the middle begins in ESTABLISHED", "[seeing]") {
    check("C:1(6) S:ACK C:FIN S:FIN C:ACK", "ESTABLISHED FIN_WAIT1 TIME_WAIT",
          "ESTABLISHED CLOSE_WAIT LAST_ACK CLOSED");
    check("S:SYN+ACK C:ACK", "SYN_SENT ESTABLISHED", "LISTEN SYN_RECV ESTABLISHED");
}
TEST_CASE("a capture that has missed the SYN+ACK, or all that the server sent", "[seeing]") {
    const string half = "C:SYN C:ACK(1) C:1(6) ";
    check(half + "S:1(6) C:ACK C:FIN S:FIN C:ACK", opens_c + " FIN_WAIT1 TIME_WAIT",
          opens_s + " CLOSE_WAIT LAST_ACK CLOSED");
    check(half + "C:FIN", opens_c + " FIN_WAIT1", opens_s + " CLOSE_WAIT");
    auto c = connection(half + "S:1(6) C:ACK C:FIN S:FIN C:ACK");
    Receipts receipts(c);
    for (size_t i = 0; i < c.segments.size(); ++i) CHECK(receipts[i] != Receipts::lost);
}

// ---- one end alone: every state against every segment -------------------------------------------------------------

static Segment segment(const string& flags, int64_t seq, int64_t ack) {
    Segment s;
    s.syn = flags.find('S') != flags.npos, s.fin = flags.find('F') != flags.npos, s.rst = flags.find('R') != flags.npos,
    s.acks = flags.find('.') != flags.npos;
    s.seq = seq, s.ack = ack, s.fresh = s.space();
    return s;
}
TEST_CASE("RFC 9293, 3.10.7: what arrives in each of the eleven states", "[seeing]") {
    struct {
        State state;
        const char* flags;
        int64_t ack;
        State then;
    } table[] = {{State::closed, "S", 0, State::closed},           {State::closed, "F.", 1, State::closed},
                 {State::closed, "R", 0, State::closed},           {State::listen, "S", 0, State::syn_recv},
                 {State::listen, "R", 0, State::listen},           {State::listen, ".", 1, State::listen},
                 {State::listen, "F.", 1, State::listen},          {State::syn_sent, "S.", 1, State::established},
                 {State::syn_sent, "S", 0, State::syn_recv},       {State::syn_sent, "R.", 1, State::closed},
                 {State::syn_sent, "R", 0, State::syn_sent},       {State::syn_sent, ".", 1, State::syn_sent},
                 {State::syn_sent, "S.", 9, State::syn_sent},      {State::syn_sent, "F.", 1, State::syn_sent},
                 {State::syn_recv, ".", 1, State::established},    {State::syn_recv, "F.", 1, State::close_wait},
                 {State::syn_recv, "R", 0, State::closed},         {State::syn_recv, "S.", 1, State::established},
                 {State::established, "F.", 1, State::close_wait}, {State::established, ".", 1, State::established},
                 {State::established, "S", 0, State::established}, {State::established, "R", 0, State::closed},
                 {State::fin_wait1, ".", 2, State::fin_wait2},     {State::fin_wait1, ".", 1, State::fin_wait1},
                 {State::fin_wait1, "F.", 1, State::closing},      {State::fin_wait1, "F.", 2, State::time_wait},
                 {State::fin_wait1, "R", 0, State::closed},        {State::fin_wait2, "F.", 2, State::time_wait},
                 {State::fin_wait2, ".", 2, State::fin_wait2},     {State::fin_wait2, "R", 0, State::closed},
                 {State::close_wait, ".", 1, State::close_wait},   {State::close_wait, "F.", 1, State::close_wait},
                 {State::close_wait, "R", 0, State::closed},       {State::closing, ".", 2, State::time_wait},
                 {State::closing, ".", 1, State::closing},         {State::closing, "F.", 1, State::closing},
                 {State::closing, "R", 0, State::closed},          {State::last_ack, ".", 2, State::closed},
                 {State::last_ack, ".", 1, State::last_ack},       {State::last_ack, "R", 0, State::closed},
                 {State::time_wait, "F.", 2, State::time_wait},    {State::time_wait, ".", 2, State::time_wait},
                 {State::time_wait, "R", 0, State::closed}};
    for (auto& row : table) {
        End end;
        end.state = row.state;
        bool unopened = row.state == State::closed || row.state == State::listen;
        bool opens = row.state == State::syn_sent || row.state == State::syn_recv;
        bool closes = !unopened && !opens && row.state != State::established && row.state != State::close_wait;
        end.sent = unopened ? 0 : closes ? 2 : 1;
        if (end.sent == 2) end.fin = 2;
        end.receive(segment(row.flags, 1, row.ack));
        INFO(state_name(row.state) << " receives " << row.flags << " ack " << row.ack);
        CHECK(string(state_name(end.state)) == state_name(row.then));
    }
}
TEST_CASE("RFC 9293, 3.10: what is sent in each state", "[seeing]") {
    struct {
        State state;
        const char* flags;
        State then;
    } table[] = {{State::closed, "S", State::syn_sent},
                 {State::listen, "S", State::syn_sent},
                 {State::listen, "S.", State::syn_recv},
                 {State::syn_recv, "F.", State::fin_wait1},
                 {State::established, "F.", State::fin_wait1},
                 {State::close_wait, "F.", State::last_ack},
                 {State::fin_wait1, "F.", State::fin_wait1},
                 {State::established, "R.", State::closed},
                 {State::fin_wait2, "R", State::closed},
                 {State::close_wait, "R.", State::closed},
                 {State::listen, "R", State::listen},
                 {State::syn_sent, ".", State::established}};  // the answer to its SYN is not in the capture
    for (auto& row : table) {
        End end;
        end.state = row.state;
        end.send(segment(row.flags, 1, 1));
        INFO(state_name(row.state) << " sends " << row.flags);
        CHECK(string(state_name(end.state)) == state_name(row.then));
    }
}
