#include "control/schema.h"

#include <catch2/catch.hpp>

#include <set>

#include "control/compile.h"
#include "control/value_reader.h"
#include "text_of.h"

using namespace sluice;
using namespace sluice::control;

namespace {
template <typename Visit>
void for_each_row(Visit&& visit) {
  for (size_t i = 0; i < static_cast<size_t>(Section::kCount); ++i) {
    for (const Row& row : rows_of(static_cast<Section>(i))) visit(row);
  }
}
}  // namespace

TEST_CASE("the default that a row prints is the one that the code has") {
  size_t compared = 0;
  for_each_row([&](const Row& row) {
    if (row.binding.show == nullptr || row.fallback.empty()) return;
    const std::shared_ptr<void> owner = row_of(row.section).owner.make();
    CAPTURE(row_of(row.section).path, row.key);
    CHECK(row.binding.show(row, owner.get()) == row.fallback);
    ++compared;
  });
  CHECK(compared >= 35);
}

TEST_CASE("the defaults of rows that are more than one value are those of the code") {
  const auto result = compile_text(with_route("{match: {path: /}, upstream: app}"), "x.yaml");
  REQUIRE(result.snapshot != nullptr);
  const snapshot::Snapshot& s = *result.snapshot;
  CHECK(find_row(Section::process, "workers")->fallback == "auto");
  CHECK(s.process.workers == usable_cpus());
  CHECK(find_row(Section::admin, "listen")->fallback == s.admin.address.to_string());
  CHECK(s.admin.enabled);
  CHECK(find_row(Section::access_log, "format")->fallback == "json");
  CHECK(s.access_log.format == snapshot::AccessLogSpec::Format::json);
  CHECK(find_row(Section::retry, "on")->fallback == "[connect]");
  CHECK(s.clusters[0].retry.on_connect);
  CHECK_FALSE(s.clusters[0].retry.on_reset);
  CHECK_FALSE(s.clusters[0].retry.on_timeout);
  CHECK(s.clusters[0].retry.on_statuses.empty());
  CHECK(s.trusted_proxies.empty());
  CHECK(s.routes[0].match.methods == http::kAllMethods);
}

TEST_CASE("every row is complete") {
  for_each_row([](const Row& row) {
    CAPTURE(row_of(row.section).path, row.key);
    CHECK_FALSE(row.help.empty());
    CHECK((row.help.ends_with('.') || row.presence == Presence::later));
    if (row.presence == Presence::later) {
      CHECK(row.binding.read == nullptr);
      return;
    }
    CHECK(row.binding.read != nullptr);
    CHECK(row.binding.owner == row_of(row.section).owner.tag);
    if (row.type == Type::section) CHECK(row.child != Section::root);
    if (row.presence == Presence::required) CHECK(row.fallback.empty());
  });
}

TEST_CASE("keys are given once in their section") {
  std::set<std::pair<Section, std::string_view>> seen;
  for_each_row([&](const Row& row) { CHECK(seen.emplace(row.section, row.key).second); });
}

TEST_CASE("a row is found by its key") {
  CHECK(find_row(Section::pool, "max_idle")->help.starts_with("Connections kept"));
  CHECK(find_row(Section::pool, "max_idl") == nullptr);
  CHECK(find_row(Section::root, "max_idle") == nullptr);
}
