// What a client says of content codings: one field, or several, mean the same however they are cut at their commas and spelled, and
// what is chosen is never worse than what could have been.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "compress/accept_encoding.h"

using namespace sluice::compress;

namespace {

constexpr Coding kAll[] = {Coding::zstd, Coding::br, Coding::gzip};
constexpr Coding kReversed[] = {Coding::gzip, Coding::br, Coding::zstd};

// What it says of each, then of all.
std::string choices(const AcceptEncoding& accepts) {
  std::string text;
  const auto add = [&](std::span<const Coding> offered) {
    const auto chosen = accepts.choose(offered);
    text += chosen ? std::string(name(*chosen)) : "-";
    FUZZ_CHECK(!chosen || std::find(offered.begin(), offered.end(), *chosen) != offered.end());
  };
  for (const Coding& coding : kAll) add({&coding, 1});
  for (size_t i = 0; i < std::size(kAll); ++i) {
    const Coding pair[] = {kAll[i], kAll[(i + 1) % std::size(kAll)]};
    add(pair);
  }
  add(kAll);
  add(kReversed);
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string value(reinterpret_cast<const char*>(data), size);
  AcceptEncoding whole;
  whole.add(value);
  const std::string expected = choices(whole);

  AcceptEncoding cut;
  for (size_t at = 0; at <= value.size();) {
    const size_t end = std::min(value.find(',', at), value.size());
    const std::string element = "\t" + value.substr(at, end - at) + " ";
    cut.add(element);
    cut.add("deflate, ,gzip;q=2, zstd;q=1.001, *;q=0.0001, br;level=9");  // says nothing, or is malformed
    at = end + 1;
  }
  FUZZ_CHECK(choices(cut) == expected);

  std::string loud = value;
  for (char& c : loud) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  AcceptEncoding shouted;
  shouted.add(loud);
  FUZZ_CHECK(choices(shouted) == expected);

  // Alone it is wanted, too, and without any coding nothing is.
  for (const std::span<const Coding> offered : {std::span(kAll), std::span(kReversed)}) {
    const auto best = whole.choose(offered);
    for (const Coding coding : offered) FUZZ_CHECK(best || !whole.choose({&coding, 1}));
    if (best) FUZZ_CHECK(whole.choose({&*best, 1}) == best);
    FUZZ_CHECK(!whole.choose({}));
  }
  return 0;
}
