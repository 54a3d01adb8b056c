// journal.hpp - the log of halfclose-server and halfclose-client: lines as in the whole suite, or JSON records with the
// keys, the order and the words of terassyi's tcp-half-close-tester.
#pragma once
#include "../tcp.hpp"

enum Level { DEBUG, INFO, WARN, ERROR };

/// Text in quotes, as JSON wants it.
inline std::string quoted(const std::string& text) {
    std::string result;
    for (char c : text) {
        char escaped[8];
        snprintf(escaped, sizeof escaped, c >= 0 && c < ' ' ? "\\u%04x" : c == '"' || c == '\\' ? "\\%c" : "%c", c);
        result += escaped;
    }
    return '"' + result + '"';
}

/// HOST, HOST:PORT, :PORT, IPV6, [IPV6]:PORT: always with a port, as the records have it.
inline std::string with_port(std::string host, int port) {
    if (host.empty() || host.rfind(':') == 0) host = "0.0.0.0" + host;
    if (host[0] != '[' && host.find(':') != host.rfind(':')) host = "[" + host + "]";
    size_t colon = host.rfind(':'), end = host.find(']');
    bool has_port = colon != host.npos && (end == host.npos || colon > end);
    return has_port ? host : host + ":" + std::to_string(port);
}

/// A field of a line or record, its value as it is to be written.
struct Field {
    const char* name;
    std::string value;
    Field(const char* field, const std::string& text) : name(field), value(text) {}
    Field(const char* field, const char* text) : name(field), value(text) {}
    Field(const char* field, uint64_t number) : name(field), value(std::to_string(number)) {}
};

struct Journal {
    const char* group;  // of the records' fields: "server", "client"
    bool json = false;
    int level = INFO;
    std::string first{};  // the field that everything begins with: the peer, or in a record the address

    /// For --log-level, capitals or not.
    void set_level(const char* name) {
        for (level = DEBUG; level <= ERROR; ++level)
            if (!strcasecmp(name, names[level])) return;
        throw tcp::Usage_error("--log-level must be debug, info, warn or error, not " +
                               tcp::printable(name, strlen(name)));
    }
    /// What happened: `verb` for the text log, `message` for the records; null: not there. One write(2) each.
    void operator()(Level severity, const char* verb, const char* message, std::initializer_list<Field> fields = {},
                    bool grouped = true) const {
        if (severity < level || !(json ? message : verb)) return;
        std::string text = grouped ? first : "";
        auto word = [](std::string name) { return name == "size" ? "bytes" : name; };  // the whole suite's word for it
        for (auto& f : fields)
            text += (text.empty() ? ""
                     : json       ? ","
                                  : " ") +
                    (json ? quoted(f.name) + ":" : word(f.name) + "=") + f.value;
        if (!json) return tcp::log(verb, "%s", text.c_str());
        timespec now;
        char head[128], time[32];
        clock_gettime(CLOCK_REALTIME, &now);
        strftime(time, sizeof time, "%FT%T", gmtime(&now.tv_sec));
        snprintf(head, sizeof head, "{\"time\":\"%s.%09ldZ\",\"level\":\"%s\",\"msg\":", time, now.tv_nsec,
                 names[severity]);
        if (grouped) text = quoted(group) + ":{" + text + "}";
        std::string record = head + quoted(message) + (text.empty() ? "" : ",") + text + "}\n";
        tcp::write_line(STDOUT_FILENO, record.data(), record.size());
    }

private:
    static constexpr const char* names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
};
