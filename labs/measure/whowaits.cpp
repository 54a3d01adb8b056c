// whowaits - the table of labs/compare as a picture: who waits how long for what, and what concurrency costs.
//
//   whowaits TABLE WAITS        labs/compare's table.csv and waits.csv; SVG on stdout
//
// Look for: the stairs of the server that serves one at a time, a pool's steps, the blocks of those that serve all at once.
#include "csv.hpp"
#include "drawing.hpp"

using std::string;

static const double left = 250, right = 1200;
static double& y = drawing.height;

static string seconds(double s) { return s < 1 ? format("%.0f ms", s * 1e3) : format("%.2f s", s); }

// ---- who waits -----------------------------------------------------------------------------------------------------

// One bar for each client, the first served on top: thin while it waits, thick while it is served.
static void band(const string& server, const Rows& waits, double scale) {
    double top = y, each = waits.size() > 32 ? 4 : 8, longest = 0, end = 0;
    for (auto& row : waits) {
        double began = number(row, "began_us") / 1e6, answered = number(row, "answered_us") / 1e6,
               closed = number(row, "closed_us") / 1e6;
        if (!(began <= answered && answered <= closed)) continue;
        bar(left + began * scale, y + each * 0.3, (answered - began) * scale, each * 0.25, "act bar");
        bar(left + answered * scale, y, (closed - answered) * scale, each - 1.5, "est bar");
        longest = std::max(longest, answered - began);
        end = std::max(end, closed);
        y += each;
    }
    vertical(left + end * scale, top - 5, y + 4, "lost");
    text(20, top + 14, "m b", "start", server);
    text(20, top + 34, "s f", "start", "all done: " + seconds(end));
    text(20, top + 52, "s f", "start", "longest wait: " + seconds(longest));
    y = std::max(y, top + 56) + 20;
}
// 1, 2 or 5 times a power of ten, the greatest that is not more than a quarter of it.
static double step_for(double most) {
    double step = std::pow(10, std::floor(std::log10(most / 4)));
    for (double times : {5, 2})
        if (step * times <= most / 4) return step * times;
    return step;
}
static void legend(double end) {
    for (double s = 0; s <= end; s += step_for(end))
        text(left + (right - left) * s / end, y + 10, "s f", "middle", s > 0 ? seconds(s) : "0");
    bar(20, y + 4, 30, 2, "act bar");
    text(56, y + 10, "s f", "start", "waits");
    bar(112, y + 2, 30, 6.5, "est bar");
    text(148, y + 10, "s f", "start", "served");
    vertical(26, y + 28, y + 48, "lost");
    text(42, y + 43, "s f", "start", "the last is done");
    y += 50;
}
// Of the clients that hold: the most at once, and the first hold.
static void bands(Rows waits) {
    if (waits.empty()) return;
    string hold = waits[0]["hold"];
    double most = 0, end = 0;
    waits = with(waits, "hold", hold);
    for (auto& row : waits) most = std::fmax(most, number(row, "clients"));
    waits = with(waits, "clients", format("%.0f", most));
    for (auto& row : waits) end = std::fmax(end, number(row, "closed_us") / 1e6);
    double held = tcp::amount(hold.c_str(), tcp::times) / 1e9, scale = (right - left) / end;
    if (!(end > 0)) return;
    text(20, y += 40, "h", "start", format("%.0f clients at once, each stays for %s: who waits?", most, hold.c_str()));
    double top = y += 34;
    y += 20;
    for (auto& server : different(waits, "server")) band(server, with(waits, "server", server), scale);
    for (double at : {held, held * most}) {
        if (!(at <= 1.02 * end)) continue;
        bool once = at == held;
        vertical(left + at * scale, top - 12, y - 8, "arrow again");
        text(left + at * scale + (once ? 6 : -6), top, "s", once ? "start" : "end",
             "predicted, " + string(once ? "all at once: " : "one by one: ") + seconds(at));
    }
    legend(end);
}

// ---- what it costs -------------------------------------------------------------------------------------------------

struct Chart {
    double x0, top, most = 0, widest = 1;
    string column, low, high;
    static constexpr double w = 410, h = 300;
    double x(const Row& row) const {
        return x0 + w * std::log2(number(row, "clients")) / std::max(1.0, std::log2(widest));
    }
    double of(double value) const { return top + h - h * value / most; }
};
struct Label {
    double at, line;
    string name;
};
// A line of its own colour, dashes and marks, and how far the rounds were apart. Where its name would stand.
static Label curve(const Chart& chart, const Rows& rows, size_t number_of) {
    static const char *colours[] = {"est", "open", "act", "pas", "tw", "idle"},
                      *dashes[] = {"none", "9 4", "2 4", "9 4 2 4", "16 5", "4 4"},
                      *marks[] = {"m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0",
                                  "m-5 -5h10v10h-10z",
                                  "m0 -6l6 11h-12z",
                                  "m0 -7l6 7l-6 7l-6 -7z",
                                  "m-6 -5h12l-6 11z",
                                  "m-2 -6h4v12h-4z"};
    const char* colour = colours[number_of % 6];
    Label label{0, 0, rows[0].at("server")};
    string way;
    for (auto& row : rows) {
        double value = number(row, chart.column);
        if (std::isnan(value) || !(number(row, "clients") >= 1)) continue;
        label.line = label.at = chart.of(value);
        way += format("%s%.1f %.1f", way.empty() ? "M" : "L", chart.x(row), label.at);
        path(format("M%.1f %.1f", chart.x(row), label.at) + marks[number_of % 6], colour);
        if (number(row, chart.low) < number(row, chart.high))
            vertical(chart.x(row), chart.of(number(row, chart.low)), chart.of(number(row, chart.high)), colour);
    }
    path(way, colour, "fill:none;stroke-width:2;stroke-dasharray:" + string(dashes[number_of % 6]));
    return label;
}
static void axes(const Chart& chart, const Rows& rows, const char* title) {
    text(chart.x0 - 60, chart.top - 44, "h", "start", title);
    for (double value = 0; value <= chart.most; value += step_for(chart.most)) {
        text(chart.x0 - 14, chart.of(value) + 5, "s f", "end", format("%.0f", value));
        path(format("M%.1f %.1fh%.1f", chart.x0 - 8, chart.of(value), Chart::w + 16), "life",
             value > 0 ? "opacity:.3" : "");
    }
    for (auto& n : different(rows, "clients")) {
        if (!(number(with(rows, "clients", n)[0], "clients") >= 1)) continue;
        text(chart.x(with(rows, "clients", n)[0]), chart.top + Chart::h + 24, "s f", "middle", n);
    }
    text(chart.x0 + Chart::w / 2, chart.top + Chart::h + 46, "s f", "middle", "clients at once");
}
static void curves(const Rows& rows, double x0, const char* title, const string& column, const string& low,
                   const string& high) {
    Chart chart{x0, y + 84, 0, 1, column, low, high};
    for (auto& row : rows) {
        chart.most = std::fmax(chart.most, std::fmax(number(row, column), number(row, high)));
        chart.widest = std::fmax(chart.widest, number(row, "clients"));
    }
    if (!(chart.most > 1e-6)) return;
    axes(chart, rows, title);
    std::vector<Label> labels;
    for (auto& server : different(rows, "server"))
        labels.push_back(curve(chart, with(rows, "server", server), labels.size()));
    std::sort(labels.begin(), labels.end(), [](auto& a, auto& b) { return a.line < b.line; });
    for (size_t i = 1; i < labels.size(); ++i) labels[i].at = std::max(labels[i].line, labels[i - 1].at + 19);
    for (auto& label : labels) {
        path(format("M%.1f %.1fl22 %.1f", x0 + Chart::w + 9, label.line, label.at - label.line), "life",
             "stroke-width:1");
        text(x0 + Chart::w + 36, label.at + 5, "s b", "start", label.name);
    }
}

int main(int argc, char** argv) try {
    auto operands = tcp::parse_options(argc, argv, "TABLE WAITS", {}, 2, 2);
    Rows table = with(read_rows(operands[0]), "hold", "0");
    bands(read_rows(operands[1]));
    if (!table.empty()) {
        curves(table, 80, "Connections a second", "per_s", "per_s_low", "per_s_high");
        curves(table, 700, "Processor time for each, in us", "server_cpu_us", "server_cpu_low_us",
               "server_cpu_high_us");
        y += 84 + Chart::h + 60;
    }
    printf("%s", drawing.file("Who waits").c_str());
    if (fflush(stdout)) tcp::fail("write stdout");
} catch (const std::exception& error) { return tcp::report(error); }
