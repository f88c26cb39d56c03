// Diagnostic: one thing that is wrong with a configuration, said to the person who wrote it: where, what,
// what would be right. Diagnostics collects them while files are read and compiled, so that a user sees all
// mistakes at once and in order. Control thread only; lives as long as one compilation.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::control {

/// A position in one of the files of a compilation. Lines and columns count from 1, columns in bytes; line 0:
/// the whole file.
struct Place {
  uint32_t file = 0;
  uint32_t line = 0;
  uint32_t column = 0;
};

/// Self-contained: outlives the files and the compilation.
struct Diagnostic {
  std::string file;
  uint32_t line = 0;
  uint32_t column = 0;
  std::string message;
  std::string source_line;  // empty if there is none to show
};

enum class Severity : uint8_t { error, warning };

/// "file:line:col: error: message", the source line and a caret below it; ends with a newline. `colour`: for
/// a terminal.
std::string to_text(const Diagnostic& diagnostic, Severity severity, bool colour);

class Diagnostics {
 public:
  /// Past this many errors only their number is kept: a generated file can hold millions.
  static constexpr size_t kMaxKept = 100;

  /// Registers a file; its text is kept for the source lines. Returns the number for Place::file.
  uint32_t add_file(std::string name, std::string text);
  [[nodiscard]] std::string_view text(uint32_t file) const { return files_[file].text; }
  [[nodiscard]] const std::string& name(uint32_t file) const { return files_[file].name; }

  void error(Place place, std::string message);
  void warning(Place place, std::string message);

  [[nodiscard]] size_t error_count() const { return error_count_; }
  /// True when further errors are only counted: costly suggestions are no longer worth making.
  [[nodiscard]] bool full() const { return errors_.size() >= kMaxKept; }

  /// The line that `place` stands in, without its end.
  [[nodiscard]] std::string_view source_line(Place place) const;
  /// "sluice.yaml:42".
  [[nodiscard]] std::string describe(Place place) const;

  /// In the order of files and lines, without repetitions.
  [[nodiscard]] std::vector<Diagnostic> errors() const;
  [[nodiscard]] std::vector<Diagnostic> warnings() const;

 private:
  struct File {
    std::string name;
    std::string text;
  };
  struct Entry {
    Place place;
    std::string message;
  };
  [[nodiscard]] std::vector<Diagnostic> in_order(std::vector<Entry> entries) const;
  [[nodiscard]] Diagnostic resolve(const Entry& entry) const;

  std::deque<File> files_;  // stable: text() hands out views
  std::vector<Entry> errors_;
  std::vector<Entry> warnings_;
  size_t error_count_ = 0;
};

}  // namespace sluice::control
