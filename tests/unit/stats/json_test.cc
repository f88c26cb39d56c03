#include "stats/json.h"

#include <catch2/catch.hpp>

namespace sluice::stats {
namespace {

TEST_CASE("no figures are an empty object") {
  const Registry registry(1);
  CHECK(json_text(registry) == "{\n}\n");
}

TEST_CASE("figures are grouped by family, with labels and values") {
  Registry registry(1);
  registry.shard(0).add(registry.intern(Family::downstream_accepted, {"a\"b"}), 3);
  registry.intern(Family::downstream_accepted, {"c"});
  registry.shard(0).step(registry.intern(Family::requests_in_flight), -2);
  CHECK(json_text(registry) ==
        "{\n"
        "\"sluice_downstream_connections_accepted_total\":{\"kind\":\"counter\",\"help\":\"Client connections "
        "accepted.\",\"series\":[\n"
        "{\"labels\":{\"listener\":\"a\\\"b\"},\"value\":3},\n"
        "{\"labels\":{\"listener\":\"c\"},\"value\":0}\n"
        "]},\n"
        "\"sluice_requests_in_flight\":{\"kind\":\"gauge\",\"help\":\"Requests begun and not yet "
        "finished.\",\"series\":[\n"
        "{\"labels\":{},\"value\":-2}\n"
        "]}\n"
        "}\n");
}

TEST_CASE("a histogram is shown by its quantiles in seconds") {
  Registry registry(1);
  registry.intern(Family::request_duration, {"never"});  // not shown
  const SeriesId id = registry.intern(Family::request_duration, {"r"});
  for (int i = 0; i < 4; ++i) registry.shard(0).observe(id, 4);  // a bucket of one microsecond's width
  CHECK(json_text(registry).find("{\"labels\":{\"route\":\"r\"},\"count\":4,\"sum\":0.000016,\"p50\":0.000004,"
                                 "\"p90\":0.000004,\"p99\":0.000004,\"p999\":0.000004,\"max\":0.000004}") !=
        std::string::npos);
}

}  // namespace
}  // namespace sluice::stats
