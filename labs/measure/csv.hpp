// csv.hpp - the rows of a CSV file by the names in its first line; nothing in it is quoted.
#pragma once
#include "../../program.hpp"

#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

using Row = std::map<std::string, std::string>;
using Rows = std::vector<Row>;

/// The first 10,000; of a cell the first 40 characters. Every row has every column.
inline Rows read_rows(const std::string& path) {
    std::ifstream file(path);
    if (!file) tcp::fail("open " + tcp::printable(path));
    std::vector<std::string> names;
    Rows rows;
    for (std::string line, cell; std::getline(file, line) && rows.size() < 10000;) {
        std::vector<std::string> cells;
        for (std::istringstream rest(line); std::getline(rest, cell, ',');) cells.push_back(cell.substr(0, 40));
        if (names.empty()) {
            names = cells;
            continue;
        }
        cells.resize(names.size());
        Row& row = rows.emplace_back();
        for (size_t i = 0; i < names.size(); ++i) row[names[i]] = cells[i];
    }
    return rows;
}
/// NAN for an empty cell and for nonsense. Nobody has measured a thousand million of anything.
inline double number(const Row& row, const std::string& column) {
    auto cell = row.find(column);
    if (cell == row.end() || cell->second.empty()) return NAN;
    char* end = nullptr;
    double value = strtod(cell->second.c_str(), &end);
    return *end == 0 && value >= 0 && value < 1e9 ? value : NAN;
}
inline Rows with(const Rows& rows, const std::string& column, const std::string& value) {
    Rows found;
    for (auto& row : rows) {
        auto cell = row.find(column);
        if (cell != row.end() && cell->second == value) found.push_back(row);
    }
    return found;
}
/// The values of a column, in the order in which they come.
inline std::vector<std::string> different(const Rows& rows, const std::string& column) {
    std::vector<std::string> values;
    for (auto& row : rows) {
        auto cell = row.find(column);
        if (cell != row.end() && std::find(values.begin(), values.end(), cell->second) == values.end())
            values.push_back(cell->second);
    }
    return values;
}
