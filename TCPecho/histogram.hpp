// histogram.hpp - how long things took, kept so that the results of several hosts can be added.
#pragma once
#include "../program.hpp"

#include <array>
#include <fstream>
#include <map>
#include <numeric>

/// Log-linear: 64 buckets to every power of two of nanoseconds, so that a value is known within 1.6 %. Added bucket by
/// bucket, the histograms of several hosts are the histogram of all; percentiles cannot be added.
class Histogram {
    static constexpr size_t last = 64 * 37 - 1;
    std::vector<uint64_t> counts_ = std::vector<uint64_t>(last + 1);
    uint64_t max_ = 0;

    static size_t bucket(uint64_t value) {
        int power = value < 64 ? 0 : 57 - __builtin_clzll(value);  // value >> power has 7 binary digits
        return std::min(last, size_t(64 * power + (value >> power)));
    }

public:
    static uint64_t lowest(size_t i) { return i < 64 ? i : (64 + i % 64) << (i / 64 - 1); }
    const std::vector<uint64_t>& counts() const { return counts_; }
    uint64_t max() const { return max_; }
    uint64_t count() const { return std::accumulate(counts_.begin(), counts_.end(), uint64_t(0)); }
    void add(uint64_t value, uint64_t count) {
        counts_[bucket(value)] += count;
        max_ = std::max(max_, value);
    }
    void add(tcp::Duration time) { add(uint64_t(std::max<int64_t>(0, time.count())), 1); }
    /// What a share of `part` of the values does not exceed, in nanoseconds.
    uint64_t quantile(double part) const {
        uint64_t below = 0, wanted = uint64_t(std::ceil(part * double(count())));
        for (size_t i = 0; i <= last; ++i) {
            below += counts_[i];
            if (below >= wanted && below) return std::min(max_, (lowest(i) + lowest(i + 1)) / 2);
        }
        return 0;
    }
};

/// What a run of echoload has counted.
struct Results {
    std::vector<std::pair<std::string, Histogram>> times{{"connect", {}}, {"wait", {}}, {"total", {}}};
    Histogram &connect = times[0].second, &wait = times[1].second, &total = times[2].second;
    uint64_t requests = 0, bytes = 0, retried_syns = 0, failed = 0;
    size_t open = 0, most_open = 0;
    std::map<std::string, uint64_t> errors;
    std::vector<std::array<tcp::Duration, 3>> each;  // began, answered, closed, since the start of the run
    double elapsed = 0, processor = 0;               // seconds; share of one processor
    double per_second(uint64_t n) const { return elapsed > 0 ? double(n) / elapsed : 0; }
};

/// A line "NAME LOWEST-NS COUNT" for each bucket, the greatest value with count 0: files can be put together with cat.
inline void save(const Results& results, const std::string& path) {
    std::ofstream file(path);
    for (auto& [name, h] : results.times) {
        for (size_t i = 0; i < h.counts().size(); ++i) {
            if (h.counts()[i]) file << name << ' ' << Histogram::lowest(i) << ' ' << h.counts()[i] << '\n';
        }
        file << name << ' ' << h.max() << " 0\n";
    }
    if (!file.flush()) tcp::fail("write " + tcp::printable(path));
}
/// A line for each connection, in the order of their ends; microseconds.
inline void save_each(const Results& results, const std::string& path) {
    std::ofstream file(path);
    file << "began_us,answered_us,closed_us\n";
    for (auto& times : results.each)
        file << times[0].count() / 1000 << ',' << times[1].count() / 1000 << ',' << times[2].count() / 1000 << '\n';
    if (!file.flush()) tcp::fail("write " + tcp::printable(path));
}
inline void merge(Results& results, const std::string& path) {
    std::ifstream file(path);
    if (!file) tcp::fail("open " + tcp::printable(path));
    std::string name;
    for (uint64_t value, count; file >> name;) {
        auto is_it = [&](auto& named) { return named.first == name; };
        auto found = std::find_if(results.times.begin(), results.times.end(), is_it);
        if (found == results.times.end() || !(file >> value >> count))
            throw std::runtime_error(tcp::printable(path) + " is not a histogram that --histogram wrote");
        found->second.add(value, count);
    }
}
