// handin.hpp - what a student hands in of one lab, read with distrust: files of any content and any size, of which so much is
// taken as a lab of ours can have written. The suite's own reference run is read the same way.
#pragma once
#include <filesystem>
#include "../trace/observations.hpp"

namespace lab {

/// A line of checks.txt: "ok", step, what was claimed.
struct Check {
    int step;
    string text;
    bool passed;
};

/// What somebody predicted.
struct Prediction {
    int step;
    string question, predicted;
};

/// What a lab asks, offers as answers if the question is a closed one, and then shows.
struct Asked {
    int step;
    string text, truth;
    std::vector<string> choices;
    bool is_asked_in(const Prediction& said) const;
};

/// One run of one lab.
struct Run {
    string student, lab, directory;
    std::vector<Check> checks;
    std::vector<Prediction> predictions;
    std::vector<Check> foretold;     // what the lab claims of this student's name; empty: what it claims of all
    std::vector<Asked> asked;        // and what it asks
    std::map<int, int> seconds;      // step -> how long it took
    std::vector<string> captures;    // paths
    std::vector<string> observed;    // paths of states and logs
    std::vector<string> remarks;     // what was noticed while it was unpacked, and here
    string word;                     // the student's, for this lab and this nonce; empty: none is known
    int64_t packets_with_word = -1;  // -1: nobody looked
    int64_t ports = -1;              // 0..999, where the student's ports begin; -1: anywhere
};

/// One level of labs/quiz, as labs/marking/quizzes has judged it.
struct Quiz {
    string student, level, solved, points, wrong, mistake, evidence, repair, look_at;
};

const size_t most_lines = 20000, most_text = 300;

/// The lines of a file that there need not be, made fit to be shown.
inline std::vector<string> lines_of(const string& path) {
    std::vector<string> lines;
    FILE* file = fopen(path.c_str(), "re");
    if (!file) return lines;
    for (string line; lines.size() < most_lines && next_line(file, line);) lines.push_back(line);
    fclose(file);
    return lines;
}
inline string shown(const string& text) {
    string quoted = tcp::printable(text.data(), text.size(), most_text);
    size_t end = quoted.rfind('"');
    return quoted.substr(1, end - 1) + quoted.substr(end + 1);
}

/// Ports and pids differ from run to run; a question is the same one without its numbers.
inline string without_numbers(const string& text) {
    string plain;
    for (char c : text)
        if (!isdigit((unsigned char)c)) plain += c;
        else if (plain.empty() || plain.back() != '0') plain += '0';
    return plain;
}

inline bool Asked::is_asked_in(const Prediction& said) const {
    return step == said.step && without_numbers(text) == without_numbers(said.question);
}

inline std::vector<Check> read_checks(const string& path) {
    std::vector<Check> checks;
    for (auto& line : lines_of(path)) {
        size_t first = line.find('\t'), second = line.find('\t', first + 1);
        if (first == line.npos || second == line.npos) continue;
        checks.push_back(
            {atoi(line.c_str() + first + 1), line.substr(second + 1, most_text), line.compare(0, 3, "ok\t") == 0});
    }
    return checks;
}

/// "step 2: QUESTION", lines of what was offered, "  predicted: ...". What turned out nobody believes a student.
inline std::vector<Prediction> read_predictions(const string& path) {
    std::vector<Prediction> all;
    const string step = "step ", predicted = "  predicted: ";
    for (auto& line : lines_of(path)) {
        size_t colon = line.find(": ");
        if (line.compare(0, step.size(), step) == 0 && colon != line.npos)
            all.push_back({atoi(line.c_str() + step.size()), line.substr(colon + 2, most_text), ""});
        else if (!all.empty() && line.compare(0, predicted.size(), predicted) == 0)
            all.back().predicted = line.substr(predicted.size(), most_text);
    }
    return all;
}

/// What a transcript asks, and what turned out: "? QUESTION", "    a) ANSWER", "  = a) ANSWER".
inline std::vector<Asked> read_questions(const string& path) {
    std::vector<Asked> all;
    int step = 0;
    for (auto& line : lines_of(path)) {
        if (sscanf(line.c_str(), "== Step %d", &step) == 1) continue;
        if (line.compare(0, 2, "? ") == 0) all.push_back({step, line.substr(2, most_text), "", {}});
        if (all.empty() || line.size() <= 7) continue;
        string answer = line.substr(7, most_text);
        if (line.compare(0, 4, "  = ") == 0) all.back().truth = answer;
        if (line.compare(0, 4, "    ") == 0 && line.compare(5, 2, ") ") == 0) all.back().choices.push_back(answer);
    }
    return all;
}

inline std::vector<Quiz> read_quizzes(const string& path) {
    std::vector<Quiz> all;
    for (auto& line : lines_of(path)) {
        Quiz quiz;
        std::istringstream fields(line);
        for (auto* field : {&quiz.student, &quiz.level, &quiz.solved, &quiz.points, &quiz.wrong, &quiz.mistake,
                            &quiz.evidence, &quiz.repair, &quiz.look_at})
            std::getline(fields, *field, '\t');
        all.push_back(quiz);
    }
    return all;
}

inline void read_token(Run& run) {
    for (auto& line : lines_of(run.directory + "/token.txt")) {
        if (line.compare(0, 5, "word ") == 0) run.word = shown(line.substr(5));
        if (line.compare(0, 8, "packets ") == 0) run.packets_with_word = atoll(line.c_str() + 8);
        if (line.compare(0, 6, "ports ") == 0) run.ports = atoll(line.c_str() + 6);
    }
}

inline bool ends_with(const string& text, const string& end) {
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

inline Run read_run(const string& student, const string& lab, const string& directory) {
    Run run;
    run.student = student;
    run.lab = lab;
    run.directory = directory;
    run.checks = read_checks(directory + "/checks.txt");
    run.predictions = read_predictions(directory + "/predictions.txt");
    run.foretold = read_checks(directory + "/foretold/checks.txt");
    run.asked = read_questions(directory + "/foretold/transcript.txt");
    for (auto& line : lines_of(directory + "/minutes.txt"))
        if (int step, seconds; sscanf(line.c_str(), "%4d %6d", &step, &seconds) == 2 && step >= 0 && seconds >= 0)
            run.seconds[step] += seconds;
    for (auto& line : lines_of(directory + "/remarks.txt")) run.remarks.push_back(shown(line));
    for (auto& entry : std::filesystem::directory_iterator(directory)) {
        string path = entry.path();
        if (ends_with(path, ".pcap")) run.captures.push_back(path);
        bool log = ends_with(path, ".states") || ends_with(path, ".err");
        if (log && path.find("/tcpdump-") == path.npos) run.observed.push_back(path);
    }
    std::sort(run.captures.begin(), run.captures.end());
    std::sort(run.observed.begin(), run.observed.end());
    read_token(run);
    return run;
}

}  // namespace lab
