// journal.hpp - the log of halfclose-server and halfclose-client: lines as in the whole suite or, with --json, records with
// the keys, the order and the words of terassyi's tcp-half-close-tester. Of an event that has both, one is written.
#pragma once
#include "../program.hpp"

enum Level { DEBUG, INFO, WARN, ERROR };

/// Text in quotes, as JSON wants it.
inline std::string quoted(const std::string& text) {
    std::string result = "\"";
    for (char c : text) {
        char code[8];
        snprintf(code, sizeof code, "\\u%04x", c & 0xff);
        if (c == '"' || c == '\\') result += '\\';
        if (c >= 0 && c < ' ') result += code;
        else result += c;
    }
    return result + "\"";
}

/// "HOST:PORT" or "[IPV6]:PORT", as the records have it.
inline std::string with_port(const std::string& host, int port) {
    bool is_ipv6 = host.find(':') != host.npos;
    return (is_ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

/// A field of a record.
struct Field {
    std::string text;
    Field(const char* name, const std::string& value) : text(quoted(name) + ":" + quoted(value)) {}
    Field(const char* name, uint64_t value) : text(quoted(name) + ":" + std::to_string(value)) {}
};

void log_as_record(const char* verb, const char* text);

class Journal {
    static constexpr const char* names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    std::string first_{};
    mutable bool stuck_ = false;  // the last record found no room: the next one does not wait for it

    void set_level(const char* name) {
        for (level = DEBUG; level <= ERROR; ++level) {
            if (!strcasecmp(name, names[level])) return;
        }
        throw tcp::Usage_error("--log-level must be debug, info, warn or error, not " + tcp::printable(name));
    }
    static std::string list(const std::string& first, std::initializer_list<Field> fields) {
        std::string text = first;
        for (auto& field : fields) {
            if (!text.empty()) text += ",";
            text += field.text;
        }
        return text;
    }
    void write(Level severity, const char* message, const std::string& rest) const {
        if (!json || severity < level) return;
        timespec now;
        char time[32], head[128];
        clock_gettime(CLOCK_REALTIME, &now);
        strftime(time, sizeof time, "%FT%T", gmtime(&now.tv_sec));
        snprintf(head, sizeof head, "{\"time\":\"%s.%09ldZ\",\"level\":\"%s\",\"msg\":", time, now.tv_nsec,
                 names[severity]);
        std::string record = head + quoted(message);
        if (!rest.empty()) record += "," + rest;
        record += "}\n";
        stuck_ = !tcp::write_line(fd(), record.data(), record.size(), stuck_ ? 0 : 10);
    }

public:
    const char* group;  // in which the fields of each record stand: "server" or "client"
    bool json = false;
    int level = INFO;

    /// The field that the group begins with.
    void begin_with(const Field& first) { first_ = first.text; }
    int fd() const { return json ? STDOUT_FILENO : STDERR_FILENO; }

    /// --json and --log-level.
    void add_options(std::vector<tcp::Option>& table) {
        table.push_back({0, "json", nullptr, "log JSON records, to standard output", [this](auto) {
                             json = true;
                             tcp::log_elsewhere = log_as_record;
                         }});
        table.push_back(
            {0, "log-level", "LEVEL", "debug, info, warn or error (info)", [this](auto v) { set_level(v); }});
    }

    /// For the text log: tcp::log.
    [[gnu::format(printf, 4, 5)]] void line(Level severity, const char* verb, const char* format, ...) const {
        if (json || severity < level) return;
        char text[512];
        va_list values;
        va_start(values, format);
        vsnprintf(text, sizeof text, format, values);
        va_end(values);
        tcp::log(verb, "%s", text);
    }
    /// For --json: a record, its fields in the group.
    void record(Level severity, const char* message, std::initializer_list<Field> fields = {}) const {
        write(severity, message, quoted(group) + ":{" + list(first_, fields) + "}");
    }
    /// For --json: what is about the whole program has no group.
    void record_without_group(Level severity, const char* message, std::initializer_list<Field> fields = {}) const {
        write(severity, message, list("", fields));
    }
    /// For main's catch: a line as tcp::report's or a record. Returns the exit status.
    int report(const char* message, const std::exception& error) const {
        if (!json) return tcp::report(error);
        record_without_group(ERROR, message, {{"error", error.what()}});
        return dynamic_cast<const tcp::Usage_error*>(&error) ? 2 : 1;
    }
};

inline Journal journal{};

/// What shared parts tell with tcp::log, which is text: with --json a record, but for "listening", which has one.
inline void log_as_record(const char* verb, const char* text) {
    if (verb == std::string("waiting")) journal.record(WARN, verb, {{"error", text}});
}
