// page.hpp - what a class handed in, as one HTML page that loads nothing and as a CSV. Every text is escaped before it becomes a
// part of either.
#pragma once
#include "../trace/svgstyle.hpp"
#include "verify.hpp"

namespace lab {

inline string html(const string& text) { return escaped(shown(text)); }
/// RFC 4180: shown() leaves no quote in it. A field that a spreadsheet would take for a formula gets an apostrophe.
inline string csv(const string& text) {
    string safe = shown(text);
    if (!safe.empty() && strchr("=+-@", safe[0])) safe.insert(0, "'");
    return "\"" + safe + "\"";
}

/// One question of the labs, with the numbers of the guide, and what the class believed.
struct Question : Asked {
    string lab;
    std::map<string, int> answers;  // "" is: nothing
    int count() const {
        int sum = 0;
        for (auto& answer : answers) sum += answer.second;
        return sum;
    }
};

inline int right_predictions(const Run& run) {
    int right = 0;
    for (auto& said : run.predictions)
        for (auto& asked : run.asked)
            right += asked.is_asked_in(said) && !asked.truth.empty() && said.predicted == asked.truth;
    return right;
}
inline int minutes(const Run& run) {
    int seconds = 0;
    for (auto& step : run.seconds) seconds += std::min(step.second, 86400);
    return (seconds + 30) / 60;
}
inline const char* verdict(const Finding& finding) {
    if (!finding.look_at.empty()) return "look";
    if (finding.shown_again == 0) return "only claimed";
    return finding.not_shown ? "not all shown" : "shown again";
}

class Page {
    FILE* file_;
    const std::vector<Finding>& findings_;
    const std::vector<Question>& questions_;
    const std::vector<Quiz>& quizzes_;

    void head() const {
        fputs(R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>What the class handed in</title><style>
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--faint:#57606a;--box:#f3f5f7;--edge:#d0d7de;--good:#00684a;--bad:#b3261e;--bar:#9fb3c8;--right:#56b48c}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--paper:#0d1117;--faint:#a8b2bd;--box:#161b22;--edge:#30363d;--good:#56d3a5;--bad:#ff8a80;--bar:#46586a;--right:#1f7a55}}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:78rem;background:var(--paper);color:var(--ink);font:1rem/1.5 "DejaVu Sans",Verdana,Arial,sans-serif}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem;padding-top:.8rem;border-top:1px solid var(--edge)}h3{font-size:1rem;margin:1.2rem 0 .3rem}
.wide{overflow-x:auto}table{border-collapse:collapse}th,td{border:1px solid var(--edge);padding:.25rem .6rem;text-align:left;vertical-align:top}
th{background:var(--box)}.faint{color:var(--faint)}.good{color:var(--good)}.bad{color:var(--bad);font-weight:bold}
.answer{display:grid;grid-template-columns:minmax(9rem,22rem) 1fr 3rem;gap:.6rem;align-items:center;margin:.15rem 0}
.track{background:var(--box);height:1.1rem}.bar{background:var(--bar);height:100%}.bar.right{background:var(--right)}
@media print{.track{border:1px solid var(--edge)}h2,h3{break-after:avoid}}
</style></head><body>
<h1>What the class handed in</h1>
)",
              file_);
    }
    std::set<string> all(string Run::*member) const {
        std::set<string> names;
        for (auto& finding : findings_) names.insert(finding.run->*member);
        return names;
    }
    const Finding* of(const string& student, const string& lab) const {
        for (auto& finding : findings_)
            if (finding.run->student == student && finding.run->lab == lab) return &finding;
        return nullptr;
    }
    void cell(const Finding* finding) const {
        if (!finding) {
            fputs("<td class=\"faint\">nothing</td>", file_);
            return;
        }
        const char* word = verdict(*finding);
        const char* look = !strcmp(word, "shown again") ? "good" : strcmp(word, "look") ? "" : "bad";
        fprintf(file_,
                "<td><span class=\"%s\">%s</span><br><span class=\"faint\">%zu shown, %zu not, %zu claimed; "
                "predictions %d of %zu; %d min</span></td>",
                look, word, finding->shown_again, finding->not_shown, finding->only_claimed,
                right_predictions(*finding->run), finding->run->predictions.size(), minutes(*finding->run));
    }
    void table() const {
        auto labs = all(&Run::lab);
        fputs(
            "<h2>Student by lab</h2>\n<p class=\"faint\">Shown: the packets and states that the lab claims were found "
            "again in the capture. "
            "Claimed: no capture can show them. Look: see the list below.</p>\n<div "
            "class=\"wide\"><table><tr><th>student</th>",
            file_);
        for (auto& lab : labs) fprintf(file_, "<th>%s</th>", html(lab).c_str());
        fputs("</tr>\n", file_);
        for (auto& student : all(&Run::student)) {
            fprintf(file_, "<tr><th>%s</th>", html(student).c_str());
            for (auto& lab : labs) cell(of(student, lab));
            fputs("</tr>\n", file_);
        }
        fputs("</table></div>\n", file_);
    }
    void cell(const Quiz& quiz) const {
        bool solved = quiz.solved == "solved";
        fprintf(file_,
                "<td><span class=\"%s\">%s, %s of 3</span><br><span class=\"faint\">%s wrong answers. Mistake: %s. "
                "Evidence: %s. Repair: %s</span></td>",
                solved ? "good" : "bad", html(quiz.solved).c_str(), html(quiz.points).c_str(), html(quiz.wrong).c_str(),
                html(quiz.mistake).c_str(), html(quiz.evidence).c_str(), html(quiz.repair).c_str());
    }
    void quiz_table() const {
        if (quizzes_.empty()) return;
        std::map<string, std::map<string, const Quiz*>> of_student;
        std::set<string> levels;
        for (auto& quiz : quizzes_) {
            of_student[quiz.student][quiz.level] = &quiz;
            levels.insert(quiz.level);
        }
        fputs(
            "<h2>The quiz</h2>\n<p class=\"faint\">Which server a name gets is worked out again, and each answer is "
            "judged again; the points are what came of that. Evidence: a segment that is <i>shown again</i> was found "
            "in the quiz's own capture. What netstat or ps showed is gone: <i>claimed</i> means that it stands in the "
            "table that was saved when it was named, on the student's machine.</p>\n"
            "<div class=\"wide\"><table><tr><th>student</th>",
            file_);
        for (auto& level : levels) fprintf(file_, "<th>level %s</th>", html(level).c_str());
        fputs("</tr>\n", file_);
        for (auto& [student, of_level] : of_student) {
            fprintf(file_, "<tr><th>%s</th>", html(student).c_str());
            for (auto& level : levels) {
                if (auto quiz = of_level.find(level); quiz != of_level.end()) cell(*quiz->second);
                else fputs("<td class=\"faint\">nothing</td>", file_);
            }
            fputs("</tr>\n", file_);
        }
        fputs("</table></div>\n", file_);
    }
    void by_eye() const {
        fputs("<h2>To look at by eye</h2>\n<ul>\n", file_);
        bool nothing = true;
        for (auto& finding : findings_) {
            for (auto& why : finding.look_at)
                fprintf(file_, "<li><b>%s</b>, %s: %s</li>\n", html(finding.run->student).c_str(),
                        html(finding.run->lab).c_str(), html(why).c_str());
            size_t more = 0;
            for (auto& what : finding.missing) {
                if (++more > 5) continue;
                fprintf(file_, "<li><b>%s</b>, %s: the capture does not show: %s</li>\n",
                        html(finding.run->student).c_str(), html(finding.run->lab).c_str(), html(what).c_str());
            }
            nothing &= finding.look_at.empty() && finding.missing.empty();
        }
        for (auto& quiz : quizzes_) {
            if (quiz.look_at.empty()) continue;
            fprintf(file_, "<li><b>%s</b>, quiz, level %s: %s</li>\n", html(quiz.student).c_str(),
                    html(quiz.level).c_str(), html(quiz.look_at).c_str());
            nothing = false;
        }
        fputs(nothing ? "<li>nothing</li>\n</ul>\n" : "</ul>\n", file_);
    }
    void believed() const {
        fputs("<h2>What the class believed</h2>\n", file_);
        for (auto& question : questions_) {
            int count = question.count();
            if (count == 0 || question.truth.empty()) continue;
            fprintf(file_, "<h3>%s, step %d. %s</h3>\n", html(question.lab).c_str(), question.step,
                    html(question.text).c_str());
            for (auto& [answer, said] : question.answers) {
                bool right = answer == question.truth;
                fprintf(file_,
                        "<div class=\"answer\"><span>%s%s</span><span class=\"track\"><span class=\"bar%s\" "
                        "style=\"display:block;width:%d%%\"></span></span><span>%d</span></div>\n",
                        answer.empty() ? "(nothing)" : html(answer).c_str(), right ? " &#10003;" : "",
                        right ? " right" : "", 100 * said / count, said);
            }
            if (!question.answers.count(question.truth))
                fprintf(file_, "<p class=\"faint\">Nobody said: %s</p>\n", html(question.truth).c_str());
        }
    }

public:
    Page(FILE* file, const std::vector<Finding>& findings, const std::vector<Question>& questions,
         const std::vector<Quiz>& quizzes)
        : file_(file), findings_(findings), questions_(questions), quizzes_(quizzes) {}
    void write() const {
        head();
        auto students = all(&Run::student);
        for (auto& quiz : quizzes_) students.insert(quiz.student);
        fprintf(file_, "<p>%zu hand-ins of %zu students.</p>\n", findings_.size() + quizzes_.size(), students.size());
        if (!findings_.empty()) table();
        quiz_table();
        by_eye();
        believed();
        fputs("</body></html>\n", file_);
    }
    void write_csv() const {
        fputs("student,lab,verdict,shown,not shown,only claimed,predictions right,predictions,minutes,look at\r\n",
              file_);
        for (auto& finding : findings_) {
            const Run& run = *finding.run;
            string why;
            for (auto& each : finding.look_at) why += (why.empty() ? "" : "; ") + each;
            fprintf(file_, "%s,%s,%s,%zu,%zu,%zu,%d,%zu,%d,%s\r\n", csv(run.student).c_str(), csv(run.lab).c_str(),
                    verdict(finding), finding.shown_again, finding.not_shown, finding.only_claimed,
                    right_predictions(run), run.predictions.size(), minutes(run), csv(why).c_str());
        }
    }
};

}  // namespace lab
