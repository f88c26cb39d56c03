#include "control/documentation.h"

#include <catch2/catch.hpp>

#include <fstream>
#include <iterator>
#include <string>

#include "cli/man_page.h"
#include "cli/options.h"
#include "log_fields.h"

using namespace sluice::control;

namespace {
std::string file(const std::string& name) {
  std::ifstream in(std::string(SLUICE_SOURCE_DIR) + "/" + name);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}
}  // namespace

TEST_CASE("docs/configuration.md is what the schema's rows make") {
  INFO("stale; run: cmake --build --preset debug --target docs");
  CHECK(file("docs/configuration.md") == configuration_markdown(sluice::cli::kLogFields));
}

TEST_CASE("docs/sluice.8 is what the rows of the command line make") {
  INFO("stale; run: cmake --build --preset debug --target docs");
  CHECK(file("docs/sluice.8") == sluice::cli::man_page());
}

TEST_CASE("the manual tells every command, option, signal and exit code") {
  const std::string page = sluice::cli::man_page();
  const auto tells = [&](std::string_view text) { return page.find(sluice::cli::roff(text)) != std::string::npos; };
  for (const auto& row : sluice::cli::command_rows()) {
    CAPTURE(row.name);
    CHECK(tells(row.help));
    CHECK(tells(row.example));
  }
  for (const auto& row : sluice::cli::option_rows()) CHECK(tells(row.name));
  for (const auto& row : sluice::cli::signal_rows()) CHECK(tells(row.help));
  for (const auto& row : sluice::cli::exit_code_rows()) CHECK(tells(row.help));
}

TEST_CASE("nothing in a text is taken for roff") {
  CHECK(sluice::cli::roff("--a 'b' C:\\d") == "\\-\\-a \\(aqb\\(aq C:\\ed");
  CHECK(sluice::cli::roff(".TH x") == "\\&.TH x");
}

TEST_CASE("config/sluice.schema.json is what the schema's rows make") {
  INFO("stale; run: cmake --build --preset debug --target docs");
  CHECK(file("config/sluice.schema.json") == json_schema());
}
