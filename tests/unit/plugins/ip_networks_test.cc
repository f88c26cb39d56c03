#include <catch2/catch.hpp>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "ip-filter/networks.h"

using sluice::ip_filter::Networks;
using sluice::ip_filter::parse_address;
using sluice::ip_filter::V4;

namespace {

Networks networks(std::initializer_list<const char*> texts) {
  Networks made;
  for (const char* text : texts) REQUIRE(made.add(text) == "");
  made.sort();
  return made;
}

bool contains(const Networks& networks, const char* text) {
  const auto address = parse_address(text);
  REQUIRE(address);
  return networks.contains(*address);
}

}  // namespace

TEST_CASE("a network contains its first address, its last and those between") {
  const Networks some =
      networks({"10.0.0.0/8", "192.0.2.7", "198.51.100.0/31", "2001:db8::/32", "fe80::1", "fd00:0:0:1::/64"});
  for (const char* inside : {"10.0.0.0", "10.255.255.255", "192.0.2.7", "198.51.100.1",
                             "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::1", "fd00::1:0:0:0:1"}) {
    CAPTURE(inside);
    CHECK(contains(some, inside));
  }
  for (const char* outside :
       {"9.255.255.255", "11.0.0.0", "192.0.2.6", "192.0.2.8", "198.51.100.2", "0.0.0.0", "255.255.255.255",
        "2001:db7:ffff::", "2001:db9::", "fe80::", "fe80::2", "fd00::", "fd00:0:0:2::"}) {
    CAPTURE(outside);
    CHECK_FALSE(contains(some, outside));
  }
}

TEST_CASE("networks inside others, and those that touch, do no harm") {
  const Networks some =
      networks({"10.1.2.0/24", "10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/8", "11.0.0.0/8", "13.0.0.0/8"});
  for (const char* inside : {"10.0.0.1", "10.1.2.3", "10.200.0.0", "11.255.255.255", "13.0.0.0"})
    CHECK(contains(some, inside));
  for (const char* outside : {"12.0.0.0", "14.0.0.0", "9.9.9.9"}) CHECK_FALSE(contains(some, outside));
}

TEST_CASE("IPv4 is the same in IPv6 clothes, and everything of one family is nothing of the other") {
  CHECK(contains(networks({"10.0.0.0/8"}), "::ffff:10.1.2.3"));
  CHECK(contains(networks({"::ffff:10.0.0.0/104"}), "10.1.2.3"));
  CHECK_FALSE(contains(networks({"::ffff:10.0.0.0/104"}), "11.1.2.3"));
  CHECK_FALSE(contains(networks({"::/0"}), "10.1.2.3"));
  CHECK_FALSE(contains(networks({"::/0"}), "::ffff:10.1.2.3"));
  CHECK(contains(networks({"::/0"}), "2001:db8::1"));
  CHECK_FALSE(contains(networks({"0.0.0.0/0"}), "::1"));
  CHECK(contains(networks({"0.0.0.0/0"}), "255.255.255.255"));
  CHECK_FALSE(contains(networks({}), "10.1.2.3"));
}

TEST_CASE("what is no network is refused with the reason") {
  Networks none;
  for (const char* wrong : {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0/8", "::/129",
                            "example.com", "10.0.0.0 /8", "[::1]", "fe80::1%eth0", "10.0.0.0/+8",
                            "2001:0db8:0000:0000:0000:0000:0000:0001:0000:0000:0000"}) {
    CAPTURE(wrong);
    CHECK(none.add(wrong) != "");
  }
  CHECK(none.add("10.1.2.3/8") == "\"10.1.2.3/8\" is not the first address of its network; write 10.0.0.0/8");
  CHECK(none.add("2001:db8::1/32") ==
        "\"2001:db8::1/32\" is not the first address of its network; write 2001:db8::/32");
  CHECK_FALSE(none.add(std::string_view("10.0.0.0\0.1", 11)).empty());  // not cut at its NUL
  CHECK(none.empty());
  CHECK_FALSE(parse_address("unix"));
}

TEST_CASE("ten thousand networks answer as a look at each of them would") {
  std::mt19937 random(7);
  std::vector<std::pair<V4, unsigned>> all;
  Networks set;
  for (int i = 0; i < 10000; ++i) {
    const unsigned bits = 12 + random() % 21;
    const auto any = static_cast<V4>(random());
    const V4 first = bits == 32 ? any : any & ~(UINT32_MAX >> bits);
    all.emplace_back(first, bits);
    REQUIRE(set.add(std::to_string(first >> 24) + "." + std::to_string(first >> 16 & 255) + "." +
                    std::to_string(first >> 8 & 255) + "." + std::to_string(first & 255) + "/" +
                    std::to_string(bits)) == "");
  }
  set.sort();
  int inside = 0;
  for (int i = 0; i < 1000; ++i) {
    // Half of them at an edge of a network.
    const auto& [first, bits] = all[random() % all.size()];
    const V4 last = first | (bits == 32 ? 0 : UINT32_MAX >> bits);
    const V4 edges[] = {first, first - 1, last, last + 1};
    const V4 address = i % 2 == 0 ? static_cast<V4>(random()) : edges[random() % 4];
    const bool expected = std::any_of(all.begin(), all.end(), [address](const auto& network) {
      return network.second == 32 ? address == network.first
                                  : ((address ^ network.first) >> (32 - network.second)) == 0;
    });
    inside += expected;
    CHECK(set.contains(address) == expected);
  }
  CHECK(inside > 100);
  CHECK(inside < 900);
}
