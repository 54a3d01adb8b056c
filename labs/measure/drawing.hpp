// drawing.hpp - an SVG, piece by piece, in the hand of the ladder.
#pragma once
#include <cstdarg>

#include "../trace/svgstyle.hpp"

struct Drawing {
    std::string body;
    double height = 0;  // so far
    static constexpr double width = 1250;

    std::string file(const std::string& title) const;
};
inline Drawing drawing;

[[gnu::format(printf, 1, 2)]] inline std::string format(const char* words, ...) {
    char text[400];
    va_list values;
    va_start(values, words);
    vsnprintf(text, sizeof text, words, values);
    va_end(values);
    return text;
}
/// classes: svgstyle.hpp's; anchor: start, middle or end.
inline void text(double x, double y, const char* classes, const char* anchor, const std::string& words) {
    drawing.body += format("<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">", x, y, classes, anchor) +
                    lab::escaped(words) + "</text>\n";
}
inline void bar(double x, double y, double width, double height, const char* classes) {
    drawing.body += format("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" class=\"%s\"/>\n", x, y, width,
                           height, classes);
}
inline void path(const std::string& way, const char* classes, const std::string& style = "") {
    drawing.body += "<path d=\"" + way + "\" class=\"" + classes + "\" style=\"" + style + "\"/>\n";
}
inline void vertical(double x, double from, double to, const char* classes) {
    path(format("M%.1f %.1fV%.1f", x, from, to), classes, "fill:none");
}
inline std::string Drawing::file(const std::string& title) const {
    return format(
               "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"ladder\" role=\"img\" width=\"%.0f\" height=\"%.0f\" "
               "viewBox=\"0 0 %.0f %.0f\">\n<title>%s</title>\n",
               width, height + 20, width, height + 20, title.c_str()) +
           lab::svg_style() + "<rect width=\"100%\" height=\"100%\" class=\"paper\"/>\n" + body + "</svg>\n";
}
