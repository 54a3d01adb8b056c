// ladder - draws connections as ladders: the segments of a capture, with the kernel's states and the programs' calls.
//
//   ladder my.pcap
//   ladder --states vit001.states --states vit002.states --log server.err --svg lab.svg vit001.pcap
//
// Three witnesses are heard: tcpdump saw the segments, statelog looked at the kernel's states, the programs wrote down
// their calls. What nobody looked at is worked out with the state machine of RFC 9293 and stands in parentheses.
#include "drawsvg.hpp"
#include "drawtext.hpp"
#include "reconstruction.hpp"

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
    if (sign == text.npos || sign == 0) throw tcp::Usage_error("--host must be ADDR=NAME, not " + tcp::printable(text));
    string& name = options.names[text.substr(0, sign)];
    for (char c : text.substr(sign + 1)) name += isgraph((unsigned char)c) ? c : '?';
}

static const size_t most = 40;  // connections; more of them nobody looks at

static std::vector<const lab::Connection*> chosen(const lab::Capture& capture, const Options& options) {
    std::vector<const lab::Connection*> found;
    int number = 0;
    for (auto& each : capture.connections) {
        ++number;
        if (options.connection && options.connection != number) continue;
        if (options.port.empty() || each.end[lab::server].port == options.port) found.push_back(&each);
    }
    return found;
}

static std::vector<lab::Picture> pictures_of(const lab::Capture& capture, const Options& options) {
    std::vector<lab::Observation> observations;
    int file = 0, damaged = 0;
    for (auto& path : options.observed) damaged += lab::read_observations(path, file++, observations);
    auto connections = chosen(capture, options);
    size_t left_out = connections.size() - std::min(connections.size(), most);
    connections.resize(connections.size() - left_out);
    std::vector<lab::Reconstruction> reconstructions;
    lab::Clocks clocks;
    for (auto* connection : connections) {
        reconstructions.emplace_back(capture, *connection, observations);
        reconstructions.back().measure(clocks);
    }
    std::vector<lab::Picture> pictures;
    for (auto& reconstruction : reconstructions) {
        reconstruction.observe(clocks);
        pictures.push_back(reconstruction.finish());
        if (!options.all) lab::fold(pictures.back());
    }
    if (left_out)
        pictures.back().remarks.push_back(std::to_string(left_out) + " more connections: --connection N draws one");
    if (damaged && !pictures.empty())
        pictures.back().remarks.push_back(std::to_string(damaged) + " damaged lines of logs and states are left out");
    return pictures;
}

static std::vector<const char*> parse(int argc, char** argv, Options& options) {
    auto observed = [&](auto v) { options.observed.push_back(file_of(v)); };
    auto operands = tcp::parse_options(
        argc, argv, "[options] CAPTURE",
        {{0, "states", "[HOST=]FILE", "what statelog printed there", observed},
         {0, "log", "[HOST=]FILE", "the log of a program of this suite", observed},
         {'H', "host", "ADDR=NAME", "write NAME above the ladder", [&](auto v) { add_name(options, v); }},
         {'p', "port", "N", "only connections to this server port", [&](auto v) { options.port = v; }},
         {0, "connection", "N", "only the N-th connection of the capture",
          [&](auto v) { options.connection = tcp::number("--connection", v, "1", "1000000"); }},
         {0, "svg", "FILE", "draw to FILE as SVG instead", [&](auto v) { options.svg = v; }},
         {0, "together", nullptr, "SVG: one server, two clients, one time axis",
          [&](auto) { options.together = true; }},
         {'w', "width", "N", "columns of the text (100)",
          [&](auto v) { options.width = tcp::number("--width", v, "60", "250"); }},
         {'A', "ascii", nullptr, "lines of - and | only", [&](auto) { options.ascii = true; }},
         {0, "all", nullptr, "do not fold long runs of data", [&](auto) { options.all = true; }}},
        1, 1);
    if (options.together && options.svg.empty()) throw tcp::Usage_error("--together needs --svg");
    return operands;
}

int main(int argc, char** argv) try {
    Options options;
    auto operands = parse(argc, argv, options);
    tcp::open_standard_descriptors();
    auto capture = lab::read_capture(operands[0]);
    if (capture.segments == 0) throw lab::Unreadable(tcp::printable(operands[0]) + ": no TCP segments in it");
    auto pictures = pictures_of(capture, options);
    if (pictures.empty())
        throw std::runtime_error("no such connection; the capture has " + std::to_string(capture.connections.size()));
    int64_t zero = capture.connections[0].segments[0].time;
    if (!options.svg.empty()) {
        lab::draw_svg(options.svg, pictures, zero, options.names, options.together);
        return 0;
    }
    lab::Text text(options.width, options.ascii, pictures, zero);
    for (auto& picture : pictures) {
        text.draw(picture, zero, options.names);
        printf("\n");
    }
    text.legend();
    if (!capture.note.empty())
        printf("  tcpdump: %s\n", tcp::printable(capture.note.data(), capture.note.size(), 100).c_str());
} catch (const std::exception& error) { return tcp::report(error); }
