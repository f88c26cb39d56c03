#include "control/documentation.h"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "control/compile.h"
#include "text_of.h"

using namespace sluice::control;

namespace {
const std::string kRoot = SLUICE_SOURCE_DIR;

std::string file(const std::string& name) {
  std::ifstream in(kRoot + "/" + name);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}
}  // namespace

TEST_CASE("docs/configuration.md is what the schema's rows make") {
  INFO("stale; run: cmake --build --preset debug --target docs");
  CHECK(file("docs/configuration.md") == configuration_markdown());
}

TEST_CASE("config/sluice.schema.json is what the schema's rows make") {
  INFO("stale; run: cmake --build --preset debug --target docs");
  CHECK(file("config/sluice.schema.json") == json_schema());
}

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
