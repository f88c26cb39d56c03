#include "compress/accept_encoding.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using sluice::compress::AcceptEncoding;
using sluice::compress::Coding;

namespace {

constexpr Coding kAll[] = {Coding::zstd, Coding::br, Coding::gzip};

std::string chosen(const std::vector<std::string>& fields, std::span<const Coding> offered = kAll) {
  AcceptEncoding accepted;
  for (const std::string& field : fields) accepted.add(field);
  const auto coding = accepted.choose(offered);
  return coding ? std::string(name(*coding)) : "identity";
}

}  // namespace

TEST_CASE("the coding with the greatest weight is chosen, and of equals the one that is offered first", "[compress]") {
  const struct {
    std::vector<std::string> fields;
    std::string expected;
  } kCases[] = {
      {{}, "identity"},
      {{""}, "identity"},
      {{"gzip, deflate, br, zstd"}, "zstd"},
      {{"gzip, br"}, "br"},
      {{"gzip", "br"}, "br"},
      {{"gzip;q=1.0, br;q=0.9"}, "gzip"},
      {{"gzip;q=0.001,br;q=0"}, "gzip"},
      {{"GZIP ; Q=0.5"}, "gzip"},
      {{"x-gzip"}, "gzip"},
      {{"deflate"}, "identity"},
      {{"*"}, "zstd"},
      {{"*;q=0.1, gzip;q=0.2"}, "gzip"},
      {{"zstd;q=0, *"}, "br"},
      {{"*;q=0"}, "identity"},
      {{"gzip;q=0"}, "identity"},
      {{"identity, gzip;q=0.5"}, "identity"},
      {{"identity;q=0.5, gzip;q=0.5"}, "gzip"},
      {{"identity;q=0, gzip;q=0.1"}, "gzip"},
      // What is malformed does not count.
      {{"gzip;q=2"}, "identity"},
      {{"gzip;q=1.001"}, "identity"},
      {{"gzip;q=0.1234"}, "identity"},
      {{"gzip;q=.5"}, "identity"},
      {{"gzip;q"}, "identity"},
      {{"gzip;level=1"}, "identity"},
      {{"gzip;q=x, br;q=0.1"}, "br"},
      {{",, ,gzip,"}, "gzip"},
      {{"gzipped"}, "identity"},
  };
  for (const auto& each : kCases) {
    CAPTURE(each.fields);
    CHECK(chosen(each.fields) == each.expected);
  }
  constexpr Coding kGzipOnly[] = {Coding::gzip};
  CHECK(chosen({"br, zstd"}, kGzipOnly) == "identity");
  CHECK(chosen({"br, gzip;q=0.1"}, kGzipOnly) == "gzip");
}
