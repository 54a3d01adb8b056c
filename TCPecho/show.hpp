// show.hpp - how the clients print what the network brings.
#pragma once
#include "../program.hpp"

namespace tcp {

/// To stdout, at once. On a terminal escaped: no server may move our cursor. Into a file or pipe as it came.
inline void show(const char* data, size_t size) {
    static const bool terminal = isatty(STDOUT_FILENO);
    string text(data, terminal ? 0 : size);
    for (size_t i = 0; terminal && i < size; ++i) {
        char hex[8];
        snprintf(hex, sizeof hex, "\\x%02x", data[i] & 0xff);
        bool is_plain = isprint((unsigned char)data[i]) || data[i] == '\n' || data[i] == '\t';
        text += is_plain ? string(1, data[i]) : hex;
    }
    for (size_t shown = 0; shown < text.size();) {
        ssize_t n = write(STDOUT_FILENO, text.data() + shown, text.size() - shown);
        if (n < 0 && errno != EINTR) fail("write stdout");
        shown += std::max<ssize_t>(n, 0);
    }
}

}  // namespace tcp
