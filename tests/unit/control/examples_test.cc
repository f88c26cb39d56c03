#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "control/compile.h"
#include "control/schema.h"
#include "text_of.h"

using namespace sluice::control;

namespace {
const std::string kRoot = SLUICE_SOURCE_DIR;
}  // namespace

TEST_CASE("the default configuration and every example compile without a warning") {
  std::vector<std::string> paths = {kRoot + "/config/sluice.yaml"};
  for (const auto& entry : std::filesystem::directory_iterator(kRoot + "/config/examples")) {
    if (entry.path().extension() == ".yaml") paths.push_back(entry.path());
  }
  CHECK(paths.size() >= 8);
  for (const std::string& path : paths) {
    CAPTURE(path);
    const CompileResult result = compile_file(path);
    CHECK(text_of(result.errors, Severity::error).empty());
    CHECK(text_of(result.warnings, Severity::warning).empty());
    CHECK(result.snapshot != nullptr);
  }
}

TEST_CASE("every key stands in the default configuration, and with its default where it has a line of its own") {
  std::ifstream in(kRoot + "/config/sluice.yaml");
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  for (size_t i = 0; i < static_cast<size_t>(Section::kCount); ++i) {
    const auto section = static_cast<Section>(i);
    const bool is_of_route = row_of(section).path.starts_with("routes") || section == Section::endpoint;
    for (const Row& row : rows_of(section)) {
      if (row.presence == Presence::later) continue;
      CAPTURE(row_of(section).path, row.key);
      std::string line = std::string(row.key) + ":";
      if (!is_of_route && row.binding.show != nullptr) line += " " + std::string(row.fallback);
      CHECK(text.find(line) != std::string::npos);
    }
  }
}
