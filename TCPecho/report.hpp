// report.hpp - what echoload prints: text for people, JSON and CSV for programs.
#pragma once
#include "load.hpp"

inline std::string human(uint64_t ns) {
    char text[32];
    if (ns < 10'000'000) snprintf(text, sizeof text, "%.1f us", double(ns) / 1e3);
    else if (ns < 10'000'000'000) snprintf(text, sizeof text, "%.1f ms", double(ns) / 1e6);
    else snprintf(text, sizeof text, "%.2f s", double(ns) / 1e9);
    return text;
}

inline void print_text(const Plan& plan, const Results& r) {
    if (r.elapsed > 0) {
        printf("%s: %lu clients, %lu bytes, hold %s, server %s\n", plan.mode_name.c_str(), plan.clients, plan.size,
               human(plan.hold.count()).c_str(), plan.server.text().c_str());
        printf("%lu requests in %.3f s: %.1f per second, %.1f MB/s each way; at most %zu connections open\n",
               r.requests, r.elapsed, r.per_second(r.requests), r.per_second(r.bytes) / 1e6, r.most_open);
    }
    printf("%-8s %10s %11s %11s %11s %11s\n", "", "count", "p50", "p95", "p99", "max");
    for (auto& [name, h] : r.times) {
        printf("%-8s %10lu %11s %11s %11s %11s\n", name.c_str(), h.count(), human(h.quantile(0.5)).c_str(),
               human(h.quantile(0.95)).c_str(), human(h.quantile(0.99)).c_str(), human(h.max()).c_str());
    }
    for (auto& [kind, count] : r.errors) printf("failed: %lu %s\n", count, kind.c_str());
    printf("retried SYNs: %lu\n", r.retried_syns);
    if (r.processor <= 0) return;
    printf("echoload used %.0f %% of one processor%s\n", 100 * r.processor,
           r.processor > 0.9 ? ": it may be what limits" : "");
}

inline void print_json(const Plan& plan, const Results& r) {
    printf(
        "{\"mode\":\"%s\",\"server\":\"%s\",\"clients\":%lu,\"size\":%lu,\"hold_s\":%.6f,\"elapsed_s\":%.6f,"
        "\"requests\":%lu,\"per_s\":%.1f,\"MBps\":%.2f,"
        "\"most_open\":%zu,\"retried_syns\":%lu,\"client_cpu\":%.3f,\"failed\":%lu,\"errors\":{",
        plan.mode_name.c_str(), plan.server.text().c_str(), plan.clients, plan.size, double(plan.hold.count()) / 1e9,
        r.elapsed, r.requests, r.per_second(r.requests), r.per_second(r.bytes) / 1e6, r.most_open, r.retried_syns,
        r.processor, r.failed);
    const char* comma = "";
    for (auto& [kind, count] : r.errors) printf("%s\"%s\":%lu", std::exchange(comma, ","), kind.c_str(), count);
    printf("}");
    for (auto& [name, h] : r.times) {
        printf(
            ",\"%s\":{\"count\":%lu,\"p50_us\":%.1f,\"p95_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"buckets_ns\":[",
            name.c_str(), h.count(), double(h.quantile(0.5)) / 1e3, double(h.quantile(0.95)) / 1e3,
            double(h.quantile(0.99)) / 1e3, double(h.max()) / 1e3);
        comma = "";
        for (size_t i = 0; i < h.counts().size(); ++i) {
            if (h.counts()[i]) printf("%s[%lu,%lu]", std::exchange(comma, ","), Histogram::lowest(i), h.counts()[i]);
        }
        printf("]}");
    }
    printf("}\n");
}

inline void print_csv(const Plan& plan, const Results& r) {
    printf("mode,clients,size,hold_s,elapsed_s,requests,per_s,MBps,failed,retried_syns,client_cpu");
    for (auto& [time, h] : r.times) {
        const char* name = time.c_str();
        printf(",%s_p50_us,%s_p95_us,%s_p99_us,%s_max_us", name, name, name, name);
    }
    printf(",errors");
    printf("\n%s,%lu,%lu,%.6f,%.6f,%lu,%.1f,%.2f,%lu,%lu,%.3f", plan.mode_name.c_str(), plan.clients, plan.size,
           double(plan.hold.count()) / 1e9, r.elapsed, r.requests, r.per_second(r.requests),
           r.per_second(r.bytes) / 1e6, r.failed, r.retried_syns, r.processor);
    for (auto& [name, h] : r.times) {
        printf(",%.1f,%.1f,%.1f,%.1f", double(h.quantile(0.5)) / 1e3, double(h.quantile(0.95)) / 1e3,
               double(h.quantile(0.99)) / 1e3, double(h.max()) / 1e3);
    }
    const char* before = ",";
    for (auto& [kind, count] : r.errors) printf("%s%lu %s", std::exchange(before, "; "), count, kind.c_str());
    printf("%s\n", r.errors.empty() ? before : "");
}
