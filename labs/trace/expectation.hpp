// expectation.hpp - what a connection should look like, and whether it does: tokens such as C:SYN or S:(6) against the
// events of a connection, as a partial order. The automaton keeps every reading of the expectation that is still
// possible.
#pragma once
#include <set>
#include "events.hpp"

namespace lab {

struct Token {
    string text;
    int side = client;
    Kind kind = Kind::anything;
    int64_t least = 0, most = 0;           // data: bytes in total
    bool optional = false, again = false;  // X? and X*
    bool acks_all = false;                 // FIN+ACK
};

/// Both sides' tokens, each side's in the order written. A token outside of braces is a step of its own.
struct Step {
    std::vector<Token> of[2];
    bool anything = false;
};

struct Bad_token : std::runtime_error {
    using runtime_error::runtime_error;
};

/// "C:SYN", "S:PSH(6)", "C:(*)", "S:FIN+ACK?", "C:SYN*".
inline Token parse_token(string text) {
    auto bad = [whole = text.substr(0, 40)]() mutable {
        for (char& c : whole)
            if (c < ' ' || c > '~') c = '?';
        return Bad_token("'" + whole +
                         "' is no token; a token is C: or S: and SYN SYN+ACK ACK FIN FIN+ACK RST or PSH(bytes)");
    };
    Token token;
    token.text = text;
    while (!text.empty() && (text.back() == '?' || text.back() == '*')) {
        bool& mark = text.back() == '?' ? token.optional : token.again;
        mark = true;
        text.pop_back();
    }
    if (text.size() < 3 || (text[0] != 'C' && text[0] != 'S') || text[1] != ':') throw bad();
    token.side = text[0] == 'C' ? client : server;
    text.erase(0, 2);
    static const std::map<string, Kind> kinds{{"SYN", Kind::syn},    {"SYN+ACK", Kind::syn_ack}, {"ACK", Kind::ack},
                                              {"FIN", Kind::fin},    {"FIN+ACK", Kind::fin},     {"RST", Kind::rst},
                                              {"RST+ACK", Kind::rst}};
    token.acks_all = text == "FIN+ACK";
    if (auto kind = kinds.find(text); kind != kinds.end()) {
        token.kind = kind->second;
        return token;
    }
    token.kind = Kind::data;
    if (text.compare(0, 3, "PSH") == 0) text.erase(0, 3);
    if (text == "(*)") {
        token.least = 1;
        token.most = INT64_MAX;
        return token;
    }
    unsigned long long bytes = 0;
    if (sscanf(text.c_str(), "(%12llu", &bytes) != 1 || bytes == 0) throw bad();
    bool more = text == "(" + std::to_string(bytes) + "+)";
    if (!more && text != "(" + std::to_string(bytes) + ")") throw bad();
    token.least = int64_t(bytes);
    token.most = more ? INT64_MAX : int64_t(bytes);
    return token;
}

inline std::vector<Step> parse_expectation(const string& text) {
    std::vector<Step> steps;
    bool inside = false;
    for (size_t at = 0; (at = text.find_first_not_of(" \t\n", at)) != text.npos;) {
        size_t end = std::min(text.find_first_of(" \t\n", at), text.size());
        string word = text.substr(at, end - at);
        at = end;
        if (word == "{" || word == "}") {
            if (inside == (word == "{"))
                throw Bad_token("'" + word + "': braces come in pairs and not within each other");
            if ((inside = word == "{")) steps.emplace_back();
        } else if (word == "...") {
            if (inside) throw Bad_token("'...' cannot stand within braces");
            steps.emplace_back().anything = true;
        } else {
            Token token = parse_token(word);
            if (!inside) steps.emplace_back();
            steps.back().of[token.side].push_back(token);
            // every place in the one list can meet every place in the other
            if (steps.back().of[token.side].size() > 32) throw Bad_token("more than 32 tokens of a side within braces");
        }
    }
    if (inside) throw Bad_token("'{' without '}'");
    return steps;
}

/// The answer: the tokens and events side by side, and where they part.
struct Verdict {
    bool as_expected = false;
    std::vector<std::pair<string, size_t>> rows;  // token and event (SIZE_MAX: none; an ACK, or left out)
    string next;                                  // the token that could not be matched
    size_t event = 0;                             // the event that met it
};

class Automaton {
    struct State {
        size_t step = 0, at[2] = {};  // where in the expectation: the step, and in it each side's token
        int64_t bytes[2] = {};        // of that token, so far
        bool again[2] = {};           // a part of it was sent again
        size_t trail = 0;             // how it came here: an index into trail_
        auto key() const { return std::make_tuple(step, at[0], at[1], bytes[0], bytes[1], again[0], again[1]); }
        bool operator<(const State& o) const { return key() < o.key(); }
    };
    struct Trail {
        size_t before;
        const Token* token;
        size_t event;
    };
    std::vector<Step> steps_;
    const std::vector<Event>& events_;
    Progress progress_;
    const Connection& connection_;
    std::vector<Trail> trail_{{0, nullptr, 0}};

    const Token* token(const State& s, int side) const {
        return s.step < steps_.size() && s.at[side] < steps_[s.step].of[side].size()
                   ? &steps_[s.step].of[side][s.at[side]]
                   : nullptr;
    }
    bool at_end(const State& s) const { return s.step == steps_.size(); }
    static constexpr size_t no_event = SIZE_MAX;
    State noted(State s, const Token* t, size_t event) {
        trail_.push_back({s.trail, t, event});
        s.trail = trail_.size() - 1;
        return s;
    }
    State moved(State s, int side, size_t event) {
        if (event != no_event || s.bytes[side] == 0) s = noted(s, token(s, side), event);
        ++s.at[side];
        s.bytes[side] = 0;
        s.again[side] = false;
        return s;
    }
    /// Adds `s` and every state that can be reached from it without an event. `segment`: of the last event, SIZE_MAX
    /// before the first.
    void enter(std::set<State>& states, const State& s, size_t segment) {
        if (!states.insert(s).second || at_end(s)) return;
        bool done = true;
        for (int side : {client, server}) {
            const Token* t = token(s, side);
            if (!t) continue;
            done = false;
            bool acknowledged = t->kind == Kind::ack && (segment == SIZE_MAX || progress_.acknowledges(side, segment));
            bool complete = t->kind == Kind::data && s.bytes[side] >= t->least && (!t->again || s.again[side]);
            if ((t->optional && s.bytes[side] == 0) || acknowledged || complete)
                enter(states, moved(s, side, no_event), segment);
        }
        State next = s;
        ++next.step;
        next.at[0] = next.at[1] = 0;
        if (done || steps_[s.step].anything) enter(states, next, segment);
    }
    bool takes(const Token& t, const Event& e) const {
        const Segment& s = connection_.segments[e.segment];
        bool all = !t.acks_all || s.ack >= progress_.sent[other(e.side)][e.segment];
        return t.kind == e.kind && all && (!t.again || e.again || t.kind == Kind::data);
    }
    /// Adds to `states` those that `s` goes to with event number `i`, of whose data `left` bytes are still to be
    /// matched.
    void consume(std::set<State>& states, const State& s, size_t i, int64_t left) {
        const Event& e = events_[i];
        const Token* t = token(s, e.side);
        if (!at_end(s) && steps_[s.step].anything) enter(states, noted(s, nullptr, i), e.segment);
        if (!t || !takes(*t, e)) return;
        if (e.kind != Kind::data) return enter(states, moved(s, e.side, i), e.segment);
        int64_t taken = std::min(left, t->most - s.bytes[e.side]);
        if (taken <= 0) return;
        State after = noted(s, t, i);
        after.bytes[e.side] += taken;
        // enough is enough: else every place where (*) (*) may be parted were a state of its own
        if (t->most == INT64_MAX) after.bytes[e.side] = std::min(after.bytes[e.side], t->least);
        after.again[e.side] |= e.again;
        if (taken == left) return enter(states, after, e.segment);
        std::set<State> between;  // one segment with the data of two tokens
        enter(between, after, e.segment);
        for (auto& state : between)
            if (state.step != after.step || state.at[e.side] != after.at[e.side])
                consume(states, state, i, left - taken);
    }
    Verdict verdict(const State& state, size_t event, bool as_expected) const {
        Verdict v{as_expected, {}, "(nothing more)", event};
        for (size_t i = state.trail; i; i = trail_[i].before)
            v.rows.push_back({trail_[i].token ? trail_[i].token->text : "...", trail_[i].event});
        std::reverse(v.rows.begin(), v.rows.end());
        for (int side : {server, client})
            if (const Token* t = token(state, side)) v.next = t->text;
        return v;
    }

public:
    Automaton(const string& expectation, const Connection& connection, const std::vector<Event>& events)
        : steps_(parse_expectation(expectation)), events_(events), progress_(connection), connection_(connection) {}
    Verdict run() {
        std::set<State> states, next;
        State farthest;
        size_t stopped_by = 0;  // the event that came when the farthest state was reached
        enter(states, {}, no_event);
        for (size_t i = 0; i <= events_.size() && !states.empty(); ++i, states.swap(next), next.clear()) {
            if (farthest.key() <= states.rbegin()->key()) {
                farthest = *states.rbegin();
                stopped_by = i;
            }
            if (i == events_.size()) break;
            for (auto& s : states) consume(next, s, i, events_[i].bytes);
        }
        for (auto& s : states)
            if (at_end(s)) return verdict(s, events_.size(), true);
        return verdict(farthest, stopped_by, false);
    }
};

}  // namespace lab
