// fuzz.hpp - what the fuzz targets share: bytes as a file, and everything that wire and ladder do with a capture.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include "../../labs/trace/drawsvg.hpp"
#include "../../labs/trace/expectation.hpp"
#include "../../labs/trace/reconstruction.hpp"

namespace fuzz {

inline lab::Capture capture_of(const std::string& text) {
    std::string copy = text + "\n";  // fmemopen() takes no empty memory
    FILE* lines = fmemopen(copy.data(), copy.size(), "re");
    lab::Capture capture = lab::read_lines(lines, lab::Printed::unknown);
    fclose(lines);
    return capture;
}
/// One short connection, as tcpdump prints it.
inline const lab::Capture& echo() {
    static const lab::Capture capture = capture_of(
        "03:00:00.000000 IP 10.98.0.2.40000 > 10.98.0.1.8990: Flags [S], seq 7, win 9, length 0\n"
        "03:00:00.000100 IP 10.98.0.1.8990 > 10.98.0.2.40000: Flags [S.], seq 9, ack 8, win 9, length 0\n"
        "03:00:00.000200 IP 10.98.0.2.40000 > 10.98.0.1.8990: Flags [.], ack 10, win 9, length 0\n"
        "03:00:00.000300 IP 10.98.0.2.40000 > 10.98.0.1.8990: Flags [P.], seq 8:14, ack 10, win 9, length 6\n"
        "03:00:00.000400 IP 10.98.0.1.8990 > 10.98.0.2.40000: Flags [P.], seq 10:16, ack 14, win 9, length 6\n"
        "03:00:00.000500 IP 10.98.0.2.40000 > 10.98.0.1.8990: Flags [F.], seq 14, ack 16, win 9, length 0\n"
        "03:00:00.000600 IP 10.98.0.1.8990 > 10.98.0.2.40000: Flags [F.], seq 16, ack 15, win 9, length 0\n"
        "03:00:00.000700 IP 10.98.0.2.40000 > 10.98.0.1.8990: Flags [.], ack 17, win 9, length 0\n");
    return capture;
}
/// From the capture and what was observed to the file.
inline size_t draw(const lab::Capture& capture, const std::vector<lab::Observation>& observations) {
    std::vector<lab::Reconstruction> reconstructions;
    lab::Clocks clocks;
    for (size_t i = 0; i < std::min<size_t>(capture.connections.size(), 40); ++i) {
        reconstructions.emplace_back(capture, capture.connections[i], observations);
        reconstructions.back().measure(clocks);
    }
    if (reconstructions.empty()) return 0;
    static const lab::Names names{{"10.98.0.1", "vit001"}};
    lab::Svg svg(names, capture.connections[0].segments[0].time);
    for (auto& reconstruction : reconstructions) {
        reconstruction.observe(clocks);
        auto picture = reconstruction.finish();
        lab::fold(picture);
        svg.draw(picture);
    }
    return svg.file().size();
}
/// What is observed of echo(), as a file's bytes say.
inline void observe(const std::string& text) {
    static const int file = memfd_create("observations", MFD_CLOEXEC);
    static const std::string path = "/proc/self/fd/" + std::to_string(file);
    if (ftruncate(file, 0) || pwrite(file, text.data(), text.size(), 0) != ssize_t(text.size())) abort();
    std::vector<lab::Observation> observations;
    lab::read_observations(path, 0, observations);
    draw(echo(), observations);
}

}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
