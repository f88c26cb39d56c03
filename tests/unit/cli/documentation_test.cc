#include "control/documentation.h"

#include <catch2/catch.hpp>

#include <fstream>
#include <iterator>
#include <string>

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

TEST_CASE("config/sluice.schema.json is what the schema's rows make") {
  INFO("stale; run: cmake --build --preset debug --target docs");
  CHECK(file("config/sluice.schema.json") == json_schema());
}
