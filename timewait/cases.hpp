// cases.hpp - a policy on the command line: the options it is made of, and the cases, which are names for known ones.
#pragma once
#include "policy.hpp"

namespace policy {

// ---- the options --------------------------------------------------------------------------------------------------

// Which of the words `text` is; the words stand in the order of their enum.
inline int word(const string& option, const string& text, std::initializer_list<const char*> words) {
    string all;
    for (auto each : words) all += (all.empty() ? "" : ", ") + string(each);
    auto found = std::find(words.begin(), words.end(), text);
    if (found == words.end()) {
        throw tcp::Usage_error(option + " must be one of " + all + ", not " + tcp::printable(text));
    }
    return int(found - words.begin());
}

/// The options that make a policy.
inline std::vector<tcp::Option> options(Policy& policy) {
    auto set_http = [&](const char* v) {
        policy.http = true;
        policy.keep_alive = word("--http", v, {"close", "keep-alive"});
    };
    auto set_close = [&](const char* v) {
        policy.close = When(word("--close", v, {"connect", "unread", "read", "reply", "fin", "never"}));
    };
    auto set_how = [&](const char* v) { policy.how = How(word("--how", v, {"close", "shutdown", "half", "rst"})); };
    return {
        {0, "send-bip", nullptr, "send BIP:<ms>, 17 bytes, when connected", [&](auto) { policy.send_bip = true; }},
        {0, "http", "KEEP", "speak HTTP, Connection: close or keep-alive", set_http},
        {0, "readwait", "D", "when data is there, wait D before reading it",
         [&](auto v) { policy.readwait = tcp::duration("--readwait", v, "0", "1h"); }},
        {0, "close", "WHEN",
         "connect: at once; unread: when data is there;\n"
         "                               read: after reading some; reply: after the HTTP\n"
         "                               reply; fin: on the peer's FIN (default); never",
         set_close},
        {0, "closewait", "D", "then wait D, or until the peer's FIN, and close",
         [&](auto v) { policy.closewait = tcp::duration("--closewait", v, "0", "1h"); }},
        {0, "send-bip-on-close", nullptr, "answer the peer's FIN with a bip", [&](auto) { policy.bip_on_fin = true; }},
        {0, "how", "HOW",
         "close (default): close(); shutdown: shutdown(),\n"
         "                               read up to the FIN, close(); half: the same\n"
         "                               without close(); rst: close() with SO_LINGER 0",
         set_how},
    };
}

/// Throws for what cannot be meant.
inline void check(const Policy& policy) {
    auto contradiction = [](bool is_one, const char* text) {
        if (is_one) throw tcp::Usage_error(text);
    };
    bool reads = policy.close > When::unread, closes = policy.close < When::never;
    contradiction(policy.close == When::reply && !policy.http, "--close reply needs --http");
    contradiction(!reads && policy.readwait.count(), "--readwait contradicts --close connect and unread");
    contradiction(!reads && policy.http, "--http contradicts --close connect and unread: they read nothing");
    contradiction(policy.close < When::fin && policy.bip_on_fin, "--send-bip-on-close needs --close fin or never");
    contradiction(!closes && policy.closewait.count(), "--closewait contradicts --close never");
    contradiction(!closes && policy.how != How::close, "--how contradicts --close never");
}

// ---- the cases ----------------------------------------------------------------------------------------------------

/// A case is a name for options. To add one, add its line to the program's table.
struct Case {
    const char* name;
    std::vector<const char*> options;
    const char* wire;
};

/// --list: number, name, what to expect; below, what it stands for.
[[noreturn]] inline void list(const std::vector<Case>& cases) {
    printf(" N  NAME             WHAT TO EXPECT (S: server, C: client), and the options\n");
    for (size_t i = 0; i < cases.size(); ++i) {
        string options;
        for (auto option : cases[i].options) options += " " + string(option);
        printf("%2zu  %-16s %s\n    %s\n", i, cases[i].name, cases[i].wire, options.c_str());
    }
    exit(fflush(stdout) ? 1 : 0);
}

/// The option table of a program: its cases, of which the number or name goes to `wanted`, its own options, and those
/// that make a policy.
inline std::vector<tcp::Option> option_table(const std::vector<Case>& cases, string& wanted, Policy& policy,
                                             const std::vector<tcp::Option>& own) {
    auto choose = [&](const char* v) { wanted = v; };
    std::vector<tcp::Option> table = {{'s', "case", "N", "a case by number or name: options by that name", choose},
                                      {0, "scenario", "N", "as --case", choose},
                                      {0, "list", nullptr, "the cases", [&](auto) { list(cases); }}};
    table.insert(table.end(), own.begin(), own.end());
    auto of_policy = options(policy);
    table.insert(table.end(), of_policy.begin(), of_policy.end());
    return table;
}

/// Has `parse` read the command line; if a case is `wanted` then, once more, with the words of that case before the
/// user's own, which can change it so.
template <typename Parse>
void parse_with_case(int argc, char** argv, const std::vector<Case>& cases, const string& wanted, Parse parse) {
    parse(argc, argv);
    if (wanted.empty()) return;
    size_t number = 0;
    while (number < cases.size() && wanted != cases[number].name && wanted != std::to_string(number)) ++number;
    if (number == cases.size()) {
        throw tcp::Usage_error("--case must be 0.." + std::to_string(number - 1) + " or a name from --list, not " +
                               tcp::printable(wanted));
    }
    std::vector<char*> words(argv, argv + argc + 1);
    for (size_t i = 0; i < cases[number].options.size(); ++i) {
        words.insert(words.begin() + 1 + i, const_cast<char*>(cases[number].options[i]));  // getopt(3) writes to none
    }
    optind = 0;  // it begins anew
    parse(int(words.size()) - 1, words.data());
}

}  // namespace policy
