#include "control/diagnostic.h"

#include <catch2/catch.hpp>

#include "text_of.h"

using namespace sluice::control;

TEST_CASE("a diagnostic shows its line and a caret below the place") {
  Diagnostics diagnostics;
  diagnostics.error({diagnostics.add_file("a.yaml", "one\n  two: x\n"), 2, 8}, "x is wrong");
  CHECK(text_of(diagnostics.errors(), Severity::error) ==
        "a.yaml:2:8: error: x is wrong\n"
        "      two: x\n"
        "           ^\n");
}

TEST_CASE("the caret stands right after tabs and letters of several bytes") {
  Diagnostics diagnostics;
  diagnostics.error({diagnostics.add_file("a.yaml", "\t\"\xc3\xa9\xe2\x82\xac\": x"), 1, 11}, "here");
  CHECK(text_of(diagnostics.errors(), Severity::error) ==
        "a.yaml:1:11: error: here\n"
        "    \t\"\xc3\xa9\xe2\x82\xac\": x\n"
        "    \t      ^\n");
}

TEST_CASE("a diagnostic about a whole file has no line") {
  Diagnostics diagnostics;
  diagnostics.error({diagnostics.add_file("a.yaml", ""), 0, 0}, "cannot be read");
  CHECK(text_of(diagnostics.errors(), Severity::error) == "a.yaml: error: cannot be read\n");
}

TEST_CASE("colours are used when asked for") {
  const Diagnostic diagnostic{.file = "a.yaml", .line = 1, .column = 1, .message = "m", .source_line = "x"};
  CHECK(to_text(diagnostic, Severity::warning, true) ==
        "a.yaml:1:1: \033[1;33mwarning:\033[0m m\n    x\n    \033[1;33m^\033[0m\n");
}

TEST_CASE("diagnostics come in the order of files and lines, each once") {
  Diagnostics diagnostics;
  const uint32_t first = diagnostics.add_file("a.yaml", "1\n2\n3\n");
  const uint32_t second = diagnostics.add_file("b.yaml", "1\n2\n3\n");
  diagnostics.error({second, 1, 1}, "d");
  diagnostics.error({first, 3, 1}, "c");
  diagnostics.error({first, 2, 1}, "b");
  diagnostics.error({first, 2, 1}, "b");
  diagnostics.error({first, 1, 1}, "a");
  std::string order;
  for (const Diagnostic& diagnostic : diagnostics.errors()) order += diagnostic.message;
  CHECK(order == "abcd");
}

TEST_CASE("past a hundred errors only their number is told") {
  Diagnostics diagnostics;
  const uint32_t file = diagnostics.add_file("a.yaml", "x");
  for (uint32_t i = 0; i < 1000; ++i) diagnostics.error({file, 1, i + 1}, "wrong");
  REQUIRE(diagnostics.errors().size() == 101);
  CHECK(diagnostics.errors().back().message == "900 more errors are not shown");
  CHECK(diagnostics.error_count() == 1000);
}

TEST_CASE("a long line is cut and control characters are shown as question marks") {
  Diagnostics diagnostics;
  const uint32_t file = diagnostics.add_file("a.yaml", "k: \x1b[31m" + std::string(100'000, 'x'));
  diagnostics.error({file, 1, 1}, "m");
  diagnostics.error({file, 1, 50'000}, "far right");
  const auto errors = diagnostics.errors();
  CHECK(errors[0].source_line.substr(0, 8) == "k: ?[31m");
  CHECK(errors[0].source_line.size() == 160);
  CHECK(errors[1].source_line.empty());
}
