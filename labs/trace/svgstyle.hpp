// svgstyle.hpp - how the SVG looks, in light and in dark. What is observed, inferred or contradicting differs by
// outline, weight and sign first, by colour last; the colours are told apart by everybody (Okabe and Ito's).
#pragma once
#include <string>

namespace lab {

/// Text for XML: nothing in it is markup, and nothing is outside of printable ASCII.
inline std::string escaped(const std::string& text) {
    std::string safe;
    for (char c : text)
        safe += c == '<'             ? "&lt;"
                : c == '>'           ? "&gt;"
                : c == '&'           ? "&amp;"
                : c == '"'           ? "&quot;"
                : c < ' ' || c > '~' ? "?"
                                     : std::string(1, c);
    return safe;
}

inline const char* svg_style() {
    return R"(<defs><marker id="head" viewBox="0 0 12 10" refX="11" refY="5" markerWidth="12" markerHeight="10" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L12 5L0 10z" class="tip"/></marker></defs>
<style>
.ladder text{font-family:"DejaVu Sans Mono",Menlo,Consolas,monospace;fill:#1b1f24}
.ladder .m{font-size:15px}.ladder .b{font-weight:bold}.ladder .s{font-size:14px}.ladder .c{font-size:15px;font-style:italic}
.ladder .h{font-family:"DejaVu Sans",Verdana,Arial,sans-serif;font-size:20px;font-weight:bold}.ladder .f{fill:#57606a}
.ladder .paper{fill:#fff}.ladder .life{stroke:#57606a;stroke-width:2}.ladder .pause{stroke:#fff;stroke-width:5;stroke-dasharray:5 5}
.ladder .arrow{stroke:#1b1f24;stroke-width:2}.ladder .again{stroke-dasharray:3 6}.ladder .lost{stroke:#1b1f24;stroke-width:3.5;fill:none}.ladder .tip{fill:#1b1f24}
.ladder .fold{fill:#eaeef2;stroke:#8c959f;stroke-dasharray:2 4}
.ladder .idle{fill:#8c959f;stroke:#8c959f}.ladder .open{fill:#0072b2;stroke:#0072b2}.ladder .est{fill:#009e73;stroke:#009e73}
.ladder .act{fill:#d55e00;stroke:#d55e00}.ladder .pas{fill:#b0509a;stroke:#b0509a}.ladder .tw{fill:#e69f00;stroke:#e69f00}
.ladder .pill{fill-opacity:.16}.ladder .obs{stroke-width:2.5}.ladder .inf{fill-opacity:0;stroke-width:1.5;stroke-dasharray:4 3}.ladder .no{fill-opacity:0;stroke-width:5}
.ladder .bar{stroke:none}.ladder .thin{fill-opacity:.45}
@media (prefers-color-scheme:dark){
.ladder text{fill:#e6edf3}.ladder .f{fill:#a8b2bd}.ladder .paper{fill:#0d1117}.ladder .life{stroke:#a8b2bd}.ladder .pause{stroke:#0d1117}
.ladder .arrow,.ladder .lost{stroke:#e6edf3}.ladder .tip{fill:#e6edf3}.ladder .fold{fill:#21262d}
.ladder .pill{fill-opacity:.3}.ladder .inf,.ladder .no{fill-opacity:0}.ladder .open{stroke:#56b4e9}.ladder .pas{stroke:#cc79a7}}
</style>
)";
}

}  // namespace lab
