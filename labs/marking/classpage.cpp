// classpage - reads a class's hand-ins again and writes one page and one table about them.
//
//   classpage --reference logs --quiz quiz.txt --html class.html --csv class.csv CLASS
//
// CLASS has a directory for each student, in it one for each lab: what labs/collect has unpacked. Nothing in there is
// believed: each capture is read again, and what the lab claims is looked for in it.
#include "page.hpp"

using lab::Finding;
using lab::Run;
using std::string;
namespace fs = std::filesystem;

static std::vector<string> directories_in(const fs::path& path) {
    std::vector<string> names;
    for (auto& entry : fs::directory_iterator(path))
        if (entry.is_directory() && !entry.is_symlink()) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
}

static std::map<string, Run> reference_runs(const fs::path& reference) {
    std::map<string, Run> runs;
    for (auto& lab : directories_in(reference)) {
        runs[lab] = lab::read_run("the reference run", lab, reference / lab);
        runs[lab].asked = lab::read_questions(reference / lab / "transcript.txt");
    }
    return runs;
}

// A lab is one that the suite has: nothing else has a reference run.
static std::vector<Run> read_class(const fs::path& path, const std::map<string, Run>& references) {
    std::vector<Run> runs;
    for (auto& student : directories_in(path))
        for (auto& lab : directories_in(path / student)) {
            auto reference = references.find(lab);
            if (reference == references.end() || reference->second.checks.empty()) continue;
            runs.push_back(lab::read_run(student, lab, path / student / lab));
            auto& asked = runs.back().asked;
            if (asked.size() != reference->second.asked.size()) asked = reference->second.asked;
        }
    return runs;
}

static std::vector<lab::Question> questions_of(const std::map<string, Run>& references) {
    std::vector<lab::Question> questions;
    for (auto& [lab, run] : references)
        for (auto& asked : run.asked) questions.push_back({asked, lab, {}});
    return questions;
}

// An answer that was offered counts as the one in its place in the guide: its numbers may be the student's own.
static void count_answers(const std::vector<Run>& runs, std::vector<lab::Question>& questions) {
    for (auto& run : runs) {
        size_t nth = 0;
        for (auto& question : questions) {
            if (question.lab != run.lab) continue;
            const lab::Asked& asked = run.asked[nth++];
            for (auto& said : run.predictions) {
                if (!asked.is_asked_in(said)) continue;
                auto choice = std::find(asked.choices.begin(), asked.choices.end(), said.predicted);
                size_t place = size_t(choice - asked.choices.begin());
                ++question.answers[place < question.choices.size() ? question.choices[place] : said.predicted];
            }
        }
    }
}

// What the suite's own run shows of the lab, and what its capture does not show: nobody else's has to.
struct Reference {
    Finding finding;          // to be compared with
    std::set<string> unseen;  // without numbers
};

static Reference examine_reference(const Run& run) {
    Reference reference;
    reference.finding.run = &run;
    lab::Evidence evidence(run, reference.finding);
    lab::verify(run.checks, {}, evidence, reference.finding);
    for (auto& what : reference.finding.missing) reference.unseen.insert(lab::without_numbers(what));
    return reference;
}

static Finding examine(const Run& run, const Reference& reference) {
    Finding finding;
    finding.run = &run;
    finding.look_at = run.remarks;
    lab::Evidence evidence(run, finding);
    lab::verify(run.foretold.empty() ? reference.finding.run->checks : run.foretold, reference.unseen, evidence,
                finding);
    lab::compare_transcript(finding);
    size_t failed = 0;
    for (auto& check : run.checks) failed += !check.passed;
    if (failed) finding.look_at.push_back(std::to_string(failed) + " checks failed");
    if (run.word.empty()) finding.look_at.push_back("no token: run without --student");
    else if (run.packets_with_word == 0)
        finding.look_at.push_back("the student's word " + run.word + " is in no packet");
    if (run.ports >= 0 && lab::begins_at(reference.finding.served, 990) && !finding.served.empty() &&
        !lab::begins_at(finding.served, run.ports))
        finding.look_at.push_back("the ports are not those that this name gets");
    return finding;
}

// Two captures that have a mark in common are one capture.
static void find_copies(std::vector<Finding>& findings) {
    std::map<lab::Mark, std::vector<size_t>> owners;
    for (size_t i = 0; i < findings.size(); ++i)
        for (auto& mark : findings[i].marks) owners[mark].push_back(i);
    for (size_t i = 0; i < findings.size(); ++i) {
        std::map<size_t, std::set<lab::Chance>> shared;  // with whom, and what
        for (auto& mark : findings[i].marks)
            for (size_t other : owners[mark])
                if (other != i) shared[other].insert(mark.first);
        if (shared.empty()) continue;
        auto less = [](auto& a, auto& b) { return a.second.size() < b.second.size(); };
        auto& [nearest, kinds] = *std::max_element(shared.begin(), shared.end(), less);
        string what;
        for (lab::Chance kind : kinds) what.append(what.empty() ? "" : ", ").append(lab::chance_names[int(kind)]);
        const Run& first = *findings[nearest].run;
        string more = shared.size() > 1 ? " and of " + std::to_string(shared.size() - 1) + " more" : "";
        string copy = "a copy of ";
        copy.append(first.student).append("'s ").append(first.lab).append(more).append(": the same ").append(what);
        findings[i].look_at.push_back(copy);
    }
}

static std::vector<Finding> examine_all(const std::vector<Run>& runs, const std::map<string, Run>& references) {
    std::vector<Finding> findings;
    std::map<string, Reference> reference_of;
    for (auto& [lab, run] : references) reference_of[lab] = examine_reference(run);
    for (auto& run : runs) findings.push_back(examine(run, reference_of.at(run.lab)));
    for (auto& [lab, reference] : reference_of) findings.push_back(reference.finding);
    find_copies(findings);
    findings.resize(runs.size());
    return findings;
}

template <typename Write>
static void write_file(const string& path, Write write) {
    if (path.empty()) return;
    FILE* file = fopen(path.c_str(), "we");
    if (!file) throw std::system_error(errno, std::generic_category(), "write " + tcp::printable(path));
    write(file);
    bool failed = ferror(file);
    if (fclose(file) || failed)
        throw std::system_error(errno, std::generic_category(), "write " + tcp::printable(path));
}

int main(int argc, char** argv) try {
    string reference = "logs", quiz, html, csv;
    auto operands =
        tcp::parse_options(argc, argv, "[options] CLASS",
                           {{0, "reference", "DIR", "the reference runs (logs)", [&](auto v) { reference = v; }},
                            {0, "quiz", "FILE", "what labs/marking/quizzes says", [&](auto v) { quiz = v; }},
                            {0, "html", "FILE", "write the page there", [&](auto v) { html = v; }},
                            {0, "csv", "FILE", "write the table there", [&](auto v) { csv = v; }}},
                           1, 1);
    tcp::open_standard_descriptors();
    auto references = reference_runs(reference);
    auto runs = read_class(operands[0], references);
    auto questions = questions_of(references);
    count_answers(runs, questions);
    auto findings = examine_all(runs, references);
    auto quizzes = lab::read_quizzes(quiz);
    write_file(html, [&](FILE* file) { lab::Page(file, findings, questions, quizzes).write(); });
    write_file(csv, [&](FILE* file) { lab::Page(file, findings, questions, quizzes).write_csv(); });
    size_t look = 0;
    for (auto& finding : findings) look += !finding.look_at.empty();
    for (auto& each : quizzes) look += !each.look_at.empty();
    printf("%zu hand-ins, %zu to look at\n", findings.size() + quizzes.size(), look);
} catch (const std::exception& error) { return tcp::report(error); }
