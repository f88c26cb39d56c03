#include <catch2/catch.hpp>

#include <filesystem>

#include "control/compile.h"
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
