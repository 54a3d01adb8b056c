// machine.hpp - the state machine of RFC 9293 (section 3.3.2, figure 5), driven by the segments of a capture: what
// state each end must be in after it has sent, or received, a segment. `ladder` shows it where nobody looked at the
// kernel.
#pragma once
#include "../../seqserver/states.hpp"
#include "capture.hpp"

namespace lab {

using tcp::State;
using tcp::state_name;

/// What of one end matters for its state.
struct End {
    State state = State::closed;
    bool passive = false;        // came from LISTEN: a reset in SYN_RECV leads back there
    bool answered = false;       // in SYN_SENT: its SYN has been answered, but nobody took the answer
    int64_t sent = 0, fin = -1;  // its next sequence number; the one after its FIN, once it has sent one

    /// What RFC 9293 does not let this end send now, in words; else nothing.
    string complaint(const Segment& s) const {
        if (s.rst || s.again || s.space() == 0) return "";
        if (fin >= 0 && s.end() > fin) return "sends behind its own FIN";
        bool opened = state != State::closed && state != State::listen;
        return !opened && !s.syn ? string("sends data or FIN in ") + state_name(state) : "";
    }
    void send(const Segment& s) {
        if (s.rst) {
            // In SYN_SENT a bare RST answers an ACK of something older; the attempt to connect goes on. A listener
            // never closes so.
            bool stays = state == State::listen || (state == State::syn_sent && !s.acks && !answered);
            if (!stays) state = State::closed;
            return;
        }
        sent = std::max(sent, s.end());
        if (!s.syn && s.acks && state == State::syn_sent)
            state = State::established;  // by a SYN+ACK that is missing in the capture
        if (s.syn && !s.acks && (state == State::closed || state == State::listen)) {
            state = State::syn_sent;
            passive = false;
        }
        if (s.syn && s.acks && (state == State::closed || state == State::listen)) {
            state = State::syn_recv;
            passive = true;
        }
        if (!s.fin || fin >= 0) return;
        fin = s.end();
        if (state == State::established || state == State::syn_recv) state = State::fin_wait1;
        if (state == State::close_wait) state = State::last_ack;
    }
    void receive(const Segment& s) {
        bool acks_syn = s.acks && s.ack >= 1 && (state != State::syn_sent || s.ack <= sent),
             acks_fin = s.acks && fin >= 0 && s.ack >= fin;
        if (s.rst) {
            if (state == State::syn_recv && passive) state = State::listen;
            else if (state != State::listen && (state != State::syn_sent || acks_syn)) state = State::closed;
            return;
        }
        if (s.syn && !s.acks && state == State::listen) {
            state = State::syn_recv;
            passive = true;
        } else if (s.syn && !s.acks && state == State::syn_sent) state = State::syn_recv;  // simultaneous open
        else if (s.syn && acks_syn && state == State::syn_sent) state = State::established;
        else if (acks_syn && state == State::syn_recv) state = State::established;
        if (acks_fin && state == State::fin_wait1) state = State::fin_wait2;
        else if (acks_fin && state == State::closing) state = State::time_wait;
        else if (acks_fin && state == State::last_ack) state = State::closed;
        if (!s.fin) return;
        if (state == State::established || state == State::syn_recv) state = State::close_wait;
        else if (state == State::fin_wait1) state = State::closing;  // its FIN and ours have crossed
        else if (state == State::fin_wait2) state = State::time_wait;
    }
};

/// One end goes from one state to another, because of a segment it sent or received.
struct Transition {
    size_t segment;  // which
    size_t
        position;  // after which segment of the capture it happens: later than `segment` when that was still on its way
    int side;
    State from, to;
};

/// When a segment was received. The capture does not show that, the answers do: whoever has received a segment
/// acknowledges it with everything he sends from then on. A segment that was sent again without an answer in between
/// has been lost.
class Receipts {
    const std::vector<Segment>& segments_;
    std::vector<size_t> at_;
    std::vector<bool> refused_;

    // Everything `from` sends, as its peer's answers show it.
    void follow(int from, bool from_syn) {
        // End in sequence space, and is it a SYN+ACK -> the last transmission, and those at practically the same
        // moment.
        std::map<std::pair<int64_t, bool>, std::vector<size_t>> waiting;
        size_t answer = 0, after_syn = lost,
               earliest = 0;  // the peer's last segment, its last but SYNs; no receipt before
        bool answered_syn = !from_syn;
        for (size_t i = 0; i < segments_.size(); ++i) {
            const Segment& s = segments_[i];
            if (s.side == from) {
                answered_syn |= s.acks && !s.rst;  // the SYN that it acknowledges may be missing in the capture
                if (s.space() == 0 || s.rst) {
                    at_[i] = i;
                    continue;
                }  // no answer is to be expected
                auto& copies = waiting[{s.end(), s.syn && s.acks}];
                if (!copies.empty() && (s.time == 0 || s.time - segments_[copies.back()].time > 50)) copies.clear();
                copies.push_back(i);
                continue;
            }
            answered_syn |= s.syn;
            bool valid = answered_syn || s.rst;  // else an old connection's TIME_WAIT answers our SYN
            int64_t covered = !valid ? -1 : s.acks ? s.ack : s.rst ? INT64_MAX : 0;
            while (!waiting.empty() && waiting.begin()->first.first <= covered &&
                   !(s.syn && waiting.begin()->first.second)) {
                for (size_t sent : waiting.begin()->second) {
                    at_[sent] = earliest = std::max({sent, answer, earliest});
                    refused_[sent] = !s.acks;
                }
                waiting.erase(waiting.begin());
            }
            answer = i;
            if (!s.syn) after_syn = i;
        }
        int64_t reset = -1;  // where the resets of `from` stand: they count only behind the rest
        for (auto& s : segments_)
            if (s.side == from && s.rst) reset = std::max(reset, s.seq);
        for (auto& [end, copies] : waiting)  // the capture ends before the answer: taken as received
            if (size_t i = copies[0];
                ((after_syn == lost || after_syn < i) && !segments_[i].again) || end.first <= reset)
                at_[i] = std::max(i, answer);
    }
    // A keep-alive with one old byte, as some systems send it, asks for an ACK and says nothing of the last one.
    static bool is_probe(const Segment& s) { return s.length == 1 && !s.push && !s.fin; }
    // An ACK that its receiver has not seen: it sends the same again. A reset that came after everything else it sent.
    void correct() {
        size_t next_sent[2] = {lost, lost}, last_alive[2] = {0, 0};
        for (size_t i = 0; i < segments_.size(); ++i)
            if (!segments_[i].rst) last_alive[segments_[i].side] = i;
        for (size_t i = segments_.size(); i-- > 0;) {
            const Segment& s = segments_[i];
            size_t next = next_sent[other(s.side)];
            if (s.rst) at_[i] = std::max(i, last_alive[other(s.side)]);
            else if (s.space() == 0 && next != lost && segments_[next].again && !is_probe(segments_[next]) &&
                     segments_[next].seq < s.ack)
                at_[i] = lost;
            if (s.space()) next_sent[s.side] = i;
        }
    }

public:
    static constexpr size_t lost = SIZE_MAX;
    explicit Receipts(const Connection& c)
        : segments_(c.segments), at_(c.segments.size(), lost), refused_(c.segments.size()) {
        bool from_syn = c.whole && !c.segments[0].acks;
        follow(client, from_syn);
        follow(server, from_syn);
        correct();
    }
    size_t operator[](size_t i) const { return at_[i]; }
    /// Answered by a reset without ACK: there was no connection any more that could have taken it.
    bool refused(size_t i) const { return refused_[i]; }
};

/// All transitions of a connection, in the order in which they happened. `initial` gets the states before the first
/// segment, `complaints` the segments that cannot be.
inline std::vector<Transition> transitions(const Connection& c, State (&initial)[2],
                                           std::map<size_t, string>* complaints = nullptr) {
    Receipts receipts(c);
    End ends[2];
    bool answered = false;  // somebody listens
    for (auto& s : c.segments)
        answered |= s.acks && !s.rst && (s.side == server) == s.syn;  // its SYN+ACK, or the client's ACK of that
    bool simultaneous = false;
    for (auto& s : c.segments) simultaneous |= s.side == server && s.syn && !s.acks;
    if (!c.whole) ends[client].state = ends[server].state = State::established;
    else if (answered && !simultaneous) ends[server].state = State::listen;
    if (c.whole && c.segments[0].side == server) {  // the capture begins with the SYN+ACK
        ends[client].state = State::syn_sent;
        ends[client].sent = 1;
    }
    for (int side : {client, server}) initial[side] = ends[side].state;

    std::vector<std::vector<size_t>> received(c.segments.size());
    for (size_t i = 0; i < c.segments.size(); ++i)
        if (receipts[i] != Receipts::lost) received[receipts[i]].push_back(i);
    std::vector<Transition> all;
    auto step = [&](size_t segment, size_t position, int side, bool sends) {
        State before = ends[side].state;
        if (string wrong = ends[side].complaint(c.segments[segment]); sends && complaints && !wrong.empty())
            (*complaints)[segment] = wrong;
        if (sends) ends[side].send(c.segments[segment]);
        else ends[side].receive(c.segments[segment]);
        if (ends[side].state != before) all.push_back({segment, position, side, before, ends[side].state});
    };
    for (size_t i = 0; i < c.segments.size(); ++i) {
        step(i, i, c.segments[i].side, true);
        for (size_t m : received[i])
            if (!receipts.refused(m)) step(m, i, other(c.segments[m].side), false);
            else ends[other(c.segments[m].side)].answered |= c.segments[m].syn;
    }
    return all;
}

}  // namespace lab
