// verify.hpp - a hand-in's capture is read again, and the packets and states that the lab claims are looked for in it. What the
// lab claims stands in the suite's own reference run; what the student's files say they found is not asked.
#pragma once
#include <set>
#include "../trace/expectation.hpp"
#include "../trace/reconstruction.hpp"
#include "handin.hpp"

namespace lab {

/// What two captures have in common only when they are one.
enum class Chance { initial, distances, times, rhythm, timestamps, ports };
const char* const chance_names[] = {"initial sequence numbers",
                                    "distances of initial sequence numbers",
                                    "times of SYNs",
                                    "times between segments",
                                    "timestamps",
                                    "ports of clients"};
using Mark = std::pair<Chance, std::vector<int64_t>>;

/// What one hand-in of one lab is worth.
struct Finding {
    const Run* run = nullptr;
    size_t shown_again = 0, not_shown = 0, only_claimed = 0;  // of the reference run's checks
    std::vector<string> missing;                              // what the capture does not show
    std::set<Mark> marks;
    std::set<int> served;         // the servers' ports
    std::vector<string> look_at;  // by eye, and why
};

/// All connections that a run's captures have, with the pictures of what happened in them.
struct Evidence {
    std::vector<Capture> captures;
    std::vector<Picture> pictures;

    explicit Evidence(const Run& run, Finding& finding) {
        std::vector<Observation> observations;
        int file = 0;
        for (auto& path : run.observed) read_observations(path, file++, observations);
        captures.reserve(run.captures.size());
        for (auto& path : run.captures) {
            try {
                captures.push_back(read_capture(path));
            } catch (const Unreadable& error) { finding.look_at.push_back(error.what()); }
        }
        for (auto& capture : captures) {
            mark(capture, finding);
            draw(capture, observations, finding);
        }
    }

private:
    static constexpr size_t most = 200;  // connections; labs that make more of them claim nothing of each

    // What a capture has by chance. A copy shares it, also where somebody has shifted all times or sequence numbers, or
    // moved each segment a little.
    static void mark(const Capture& capture, Finding& finding) {
        const size_t fewest_ports = 5, few = 10, many = 50;  // timestamps; on one machine a few may be alike
        std::vector<int64_t> ports, timestamps;
        const Connection* before = nullptr;
        for (size_t i = 0; i < std::min(most, capture.connections.size()); ++i) {
            const Connection& c = capture.connections[i];
            finding.served.insert(atoi(c.end[server].port.c_str()));
            if (!c.whole || !c.sender[server].known) continue;
            uint32_t first[] = {c.sender[client].base, c.sender[server].base};
            finding.marks.insert({Chance::initial, {first[client], first[server]}});
            finding.marks.insert({Chance::times, {c.segments[0].time}});
            if (auto rhythm = rhythm_of(c); !rhythm.empty()) finding.marks.insert({Chance::rhythm, rhythm});
            for (auto& segment : c.segments)
                if (segment.clock >= 0 && timestamps.size() < many) timestamps.push_back(segment.clock);
            if (before)
                finding.marks.insert({Chance::distances,
                                      {uint32_t(first[client] - before->sender[client].base),
                                       uint32_t(first[server] - before->sender[server].base)}});
            before = &c;
            ports.push_back(atoi(c.end[client].port.c_str()));
        }
        if (ports.size() >= fewest_ports) finding.marks.insert({Chance::ports, ports});
        if (timestamps.size() >= few) finding.marks.insert({Chance::timestamps, timestamps});
    }
    // Of at most twenty segments. Fewer than six, or all within a millisecond, may be alike by chance.
    static std::vector<int64_t> rhythm_of(const Connection& c) {
        const size_t fewest = 6, longest = 20;
        const int64_t shortest = 1000;
        size_t segments = std::min(c.segments.size(), longest);
        if (segments < fewest || c.segments[segments - 1].time - c.segments[0].time < shortest) return {};
        std::vector<int64_t> rhythm;
        for (size_t i = 1; i < segments; ++i) rhythm.push_back(c.segments[i].time - c.segments[i - 1].time);
        return rhythm;
    }
    void draw(const Capture& capture, const std::vector<Observation>& observations, Finding& finding) {
        size_t contradictions = 0;
        for (size_t i = 0; i < std::min(most, capture.connections.size()); ++i) {
            const Connection& c = capture.connections[i];
            Reconstruction reconstruction(capture, c, observations);
            Clocks clocks;
            reconstruction.measure(clocks);
            reconstruction.observe(clocks);
            pictures.push_back(reconstruction.finish());
            // of a connection whose beginning was not captured much does not follow
            for (auto& remark : pictures.back().remarks) contradictions += c.whole && remark.compare(0, 2, "!!") == 0;
        }
        if (contradictions > 3)  // a busy host's state log is late now and then
            finding.look_at.push_back(std::to_string(contradictions) + " contradictions between states and segments");
    }
};

/// Whether the first of a run's ports is there. Its last digits are the name's: three of them in namespaces, where ports
/// begin at 8990; on real hosts, where a run has twenty from anywhere on, what is left of it by twenty.
inline bool begins_at(const std::set<int>& served, int64_t ports) {
    return std::any_of(served.begin(), served.end(), [&](int port) {
        int64_t block = port >= 8990 && port < 9990 ? 1000 : 20;
        return port % block == ports % block;
    });
}

/// Each claim finds a connection of its own: the most of them that can be true at once (augmenting paths).
class Matching {
    const std::vector<std::vector<bool>>& fits_;
    std::vector<int> taken_by_;  // connection -> claim
    bool place(size_t claim, std::vector<bool>& tried) {
        for (size_t c = 0; c < taken_by_.size(); ++c) {
            if (!fits_[claim][c] || tried[c]) continue;
            tried[c] = true;
            if (taken_by_[c] < 0 || place(size_t(taken_by_[c]), tried)) {
                taken_by_[c] = int(claim);
                return true;
            }
        }
        return false;
    }

public:
    std::vector<int> connection_of;  // -1: none
    Matching(const std::vector<std::vector<bool>>& fits, size_t connections)
        : fits_(fits), taken_by_(connections, -1), connection_of(fits.size(), -1) {
        for (size_t claim = 0; claim < fits.size(); ++claim) {
            std::vector<bool> tried(connections);
            place(claim, tried);
        }
        for (size_t c = 0; c < connections; ++c)
            if (taken_by_[c] >= 0) connection_of[size_t(taken_by_[c])] = int(c);
    }
};

/// Something a capture and its states can show: "ana's packets: C:SYN ...", "ana is FIN_WAIT2", "peer-of ana is CLOSE_WAIT".
struct Showable {
    string text, who, expectation;
    std::optional<State> state;
    int side = client;
};
inline std::optional<Showable> showable(const string& text) {
    const string packets = "'s packets: ", is = " is ", peer = "peer-of ";
    Showable claim;
    claim.text = text;
    if (size_t at = text.find(packets); at != text.npos) {
        claim.who = text.substr(0, at);
        claim.expectation = text.substr(at + packets.size()) + " ...";  // the lab looked before the connection's end
        return claim;
    }
    size_t at = text.find(is);
    if (at == text.npos) return {};
    claim.who = text.substr(0, at);
    claim.state = state_named(text.substr(at + is.size()));
    if (claim.who.compare(0, peer.size(), peer) == 0) {
        claim.side = server;
        claim.who.erase(0, peer.size());
    }
    if (!claim.state || claim.who.find(' ') != claim.who.npos) return {};
    return claim;
}

inline bool shows(const Picture& picture, const Showable& claim) {
    if (!claim.state) {
        Events events(*picture.connection);
        return Automaton(claim.expectation, *picture.connection, events.all()).run().as_expected;
    }
    for (auto& row : picture.rows)
        if (row.cell[claim.side].claim != Claim::none && row.cell[claim.side].state == *claim.state) return true;
    return false;
}

/// Looks for everything that the lab claims and the reference run's capture shows, which leaves out `unseen`: whoever has
/// a name in the lab gets the connection that shows most of what is said of it, and none that another needs to show all.
inline void verify(const std::vector<Check>& claimed, const std::set<string>& unseen, const Evidence& evidence,
                   Finding& finding) {
    std::map<string, std::vector<Showable>> said_of;
    for (auto& check : claimed) {
        auto claim = showable(check.text);
        if (claim && !evidence.captures.empty() && !unseen.count(without_numbers(check.text)))
            said_of[claim->who].push_back(*claim);
        else ++finding.only_claimed;
    }
    std::vector<std::vector<bool>> fits;
    for (auto& [who, claims] : said_of) {
        fits.emplace_back();
        for (auto& picture : evidence.pictures)
            fits.back().push_back(
                std::all_of(claims.begin(), claims.end(), [&](auto& c) { return shows(picture, c); }));
    }
    Matching matching(fits, evidence.pictures.size());
    size_t number = 0;
    for (auto& [who, claims] : said_of) {
        bool all = matching.connection_of[number++] >= 0;
        for (auto& claim : claims) {
            bool found = all || std::any_of(evidence.pictures.begin(), evidence.pictures.end(),
                                            [&](auto& picture) { return shows(picture, claim); });
            if (found) ++finding.shown_again;
            else ++finding.not_shown;
            if (!found) finding.missing.push_back(claim.text);
        }
        string together = "all that is said of " + who + " in one connection";
        if (!all && !unseen.count(without_numbers(together))) finding.missing.push_back(together);
    }
}

// The transcript shows the checks that the list has: neither was edited alone.
inline void compare_transcript(Finding& finding) {
    std::multiset<string> listed, printed;
    const string ok = "  ok: ";
    for (auto& check : finding.run->checks)
        if (check.passed) listed.insert(check.text);
    for (auto& line : lines_of(finding.run->directory + "/transcript.txt"))
        if (line.compare(0, ok.size(), ok) == 0) printed.insert(line.substr(ok.size(), most_text));
    if (listed != printed) finding.look_at.push_back("transcript and list of checks differ");
}

}  // namespace lab
