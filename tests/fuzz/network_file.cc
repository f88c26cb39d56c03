// A file of networks, as others publish them, against one network after the other, bit by bit.
#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "file_setup.h"
#include "ip-filter/ip-filter_config.h"

using namespace sluice;

namespace {

// IPv4 as ::ffff:a.b.c.d.
using Bytes = std::array<uint8_t, 16>;
struct Network {
  Bytes address;
  unsigned bits;
};

std::optional<Network> address_of(const std::string& text) {
  if (text.find('\0') != std::string::npos) return std::nullopt;
  Network network{{}, 128};
  if (inet_pton(AF_INET6, text.c_str(), network.address.data()) == 1) return network;
  network.address[10] = network.address[11] = 0xff;
  if (inet_pton(AF_INET, text.c_str(), network.address.data() + 12) == 1) return network;
  return std::nullopt;
}

bool is_v4(const Network& network) {
  constexpr Bytes kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return network.bits >= 96 && std::equal(kMapped.begin(), kMapped.begin() + 12, network.address.begin());
}

bool bit(const Bytes& bytes, unsigned at) { return (bytes[at / 8] >> (7 - at % 8) & 1) != 0; }

bool contains(const Network& network, const Network& host) {
  if (is_v4(network) != is_v4(host)) return false;
  for (unsigned i = 0; i < network.bits; ++i) {
    if (bit(network.address, i) != bit(host.address, i)) return false;
  }
  return true;
}

// Lines that are good, as the file has none that is not.
std::vector<Network> networks_of(std::string_view content) {
  std::vector<Network> networks;
  for (size_t at = 0; at < content.size();) {
    const size_t end = std::min(content.find('\n', at), content.size());
    std::string line(content.substr(at, end - at));
    at = end + 1;
    line = line.substr(0, line.find('#'));
    line = line.substr(std::min(line.find_first_not_of(" \t\r"), line.size()));
    line = line.substr(0, line.find_last_not_of(" \t\r") + 1);
    if (line.empty()) continue;
    const size_t slash = std::min(line.find('/'), line.size());
    const bool is_written_as_v4 = line.find(':') == std::string::npos;
    auto network = address_of(line.substr(0, slash));
    FUZZ_CHECK(network);
    if (slash < line.size()) network->bits = std::stoul(line.substr(slash + 1)) + (is_written_as_v4 ? 96 : 0);
    FUZZ_CHECK(network->bits <= 128);
    for (unsigned i = network->bits; i < 128; ++i) FUZZ_CHECK(!bit(network->address, i));
    networks.push_back(*network);
  }
  return networks;
}

std::string text_of(const Bytes& bytes) {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(AF_INET6, bytes.data(), text, sizeof(text));
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string content(reinterpret_cast<const char*>(data), size);
  FileSetup raw("deny_file", content);
  Setup setup(&raw);
  const ip_filter::Config config(setup);
  FUZZ_CHECK(raw.errors <= 10);
  if (raw.errors != 0) return 0;

  const std::vector<Network> networks = networks_of(content);
  if (networks.size() > 200) return 0;
  FUZZ_CHECK(config.allows("unix"));
  for (const Network& network : networks) {
    // The first address, the last, and those beside them.
    std::vector<Bytes> probes{network.address, network.address};
    for (unsigned i = network.bits; i < 128; ++i) probes[1][i / 8] |= static_cast<uint8_t>(1 << (7 - i % 8));
    for (int i = 0; i < 16; ++i) {
      for (const size_t from : {0, 1}) {
        probes.push_back(probes[from]);
        probes.back()[i] ^= 1;
      }
    }
    for (const Bytes& probe : probes) {
      const Network one{probe, 128};
      const bool denied =
          std::any_of(networks.begin(), networks.end(), [&](auto& each) { return contains(each, one); });
      FUZZ_CHECK(config.allows(text_of(probe)) == !denied);
    }
  }
  return 0;
}
