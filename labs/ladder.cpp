// ladder - draws connections as ladders: the segments of a capture, with the kernel's states and the programs' calls.
//
//   ladder my.pcap
//   ladder --states vit001.states --states vit002.states --log server.err --svg lab.svg vit001.pcap
//
// Three witnesses are heard: tcpdump saw the segments, statelog looked at the kernel's states, the programs wrote down
// their calls. What nobody looked at is worked out with the state machine of RFC 9293 and stands in parentheses.
#include "../tcp.hpp"
#include "drawtext.hpp"
#include "drawsvg.hpp"
#include "painter.hpp"

using std::string;

struct Options {
    std::vector<string> observed;  // files of statelog and of programs
    lab::Names names;
    string svg, port;
    int connection = 0, width = 100;
    bool all = false, ascii = false, together = false;
};

// "vit001=vit001.states": the host before the = is for the reader, the lines themselves say whose they are.
static string file_of(const string& text) {
    return access(text.c_str(), F_OK) && text.find('=') != text.npos ? text.substr(text.find('=') + 1) : text;
}

static void add_name(Options& options, const string& text) {
    size_t sign = text.find('=');
    if (sign == text.npos || sign == 0)
        throw tcp::Usage_error("--host must be ADDR=NAME, not " + tcp::printable(text.data(), text.size()));
    string& name = options.names[text.substr(0, sign)];
    for (char c : text.substr(sign + 1)) name += isgraph((unsigned char)c) ? c : '?';
}

static const size_t most = 40;  // connections; more of them nobody looks at

static std::vector<lab::Picture> paint(const lab::Capture& capture, const std::vector<lab::Observation>& observations,
                                       const Options& options) {
    std::vector<lab::Picture> pictures;
    auto wanted = [&](size_t i) {
        return (!options.connection || size_t(options.connection) == i + 1) &&
               (options.port.empty() || capture.connections[i].end[lab::server].port == options.port);
    };
    size_t left_out = 0, found = 0;
    for (size_t i = 0; i < capture.connections.size(); ++i) left_out += wanted(i) && ++found > most;
    std::vector<lab::Painter> painters;
    lab::Clocks clocks;
    for (size_t i = 0; i < capture.connections.size() && painters.size() < most; ++i)
        if (wanted(i))
            painters.emplace_back(capture, capture.connections[i], observations), painters.back().measure(clocks);
    for (auto& painter : painters) {
        painter.observe(clocks);
        pictures.push_back(painter.finish());
        if (!options.all) lab::fold(pictures.back());
    }
    if (left_out)
        pictures.back().remarks.push_back(std::to_string(left_out) + " more connections: --connection N draws one");
    return pictures;
}

int main(int argc, char** argv) try {
    Options options;
    auto operands = tcp::parse_options(
        argc, argv, "[options] CAPTURE",
        {{'s', "states", "[HOST=]FILE", "what statelog printed there",
          [&](auto v) { options.observed.push_back(file_of(v)); }},
         {'l', "log", "[HOST=]FILE", "the log of a program of this suite",
          [&](auto v) { options.observed.push_back(file_of(v)); }},
         {'H', "host", "ADDR=NAME", "write NAME above the ladder", [&](auto v) { add_name(options, v); }},
         {'p', "port", "N", "only connections to this server port", [&](auto v) { options.port = v; }},
         {'c', "connection", "N", "only the N-th connection of the capture",
          [&](auto v) { options.connection = tcp::number("--connection", v, "1", "1000000"); }},
         {'o', "svg", "FILE", "draw to FILE as SVG instead", [&](auto v) { options.svg = v; }},
         {'t', "together", nullptr, "in the SVG: one server, two clients, one time axis",
          [&](auto) { options.together = true; }},
         {'w', "width", "N", "columns of the text (100)",
          [&](auto v) { options.width = tcp::number("--width", v, "90", "250"); }},
         {'A', "ascii", nullptr, "lines of - and | only", [&](auto) { options.ascii = true; }},
         {'a', "all", nullptr, "do not fold long runs of data", [&](auto) { options.all = true; }}},
        1, 1);
    if (options.together && options.svg.empty()) throw tcp::Usage_error("--together needs --svg");
    auto capture = lab::read_capture(operands[0]);
    std::vector<lab::Observation> observations;
    for (size_t i = 0; i < options.observed.size(); ++i)
        lab::read_observations(options.observed[i], int(i), observations);
    auto pictures = paint(capture, observations, options);
    if (pictures.empty())
        throw std::runtime_error(capture.segments ? "no such connection; the capture has " +
                                                        std::to_string(capture.connections.size())
                                                  : operands[0] + string(": no TCP segments in it"));
    int64_t zero = capture.connections[0].segments[0].time;
    if (!options.svg.empty()) return lab::draw_svg(options.svg, pictures, zero, options.names, options.together), 0;
    lab::Text text(options.width, options.ascii);
    for (auto& picture : pictures) text.draw(picture, zero, options.names), printf("\n");
    lab::Text::legend();
    if (!capture.note.empty())
        printf("  tcpdump: %s\n", tcp::printable(capture.note.data(), capture.note.size(), 100).c_str());
} catch (const std::exception& error) { return tcp::report(error); }
