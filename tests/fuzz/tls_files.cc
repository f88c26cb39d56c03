// The files of a listener's `tls` section: one input is taken for each of them.
#include <string>

#include "check.h"
#include "tls/certificate.h"
#include "tls/ticket_keys.h"

using namespace sluice;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string content(reinterpret_cast<const char*>(data), size);
  std::string why;
  const bool has_certificates = !tls::read_certificates(content, why).empty();
  FUZZ_CHECK(has_certificates == why.empty());
  why.clear();
  const bool has_key = tls::read_key(content, why) != nullptr;
  FUZZ_CHECK(has_key == why.empty());
  tls::Failure failure;
  FUZZ_CHECK((tls::TicketKeys::of_files({content}, failure) != nullptr) == (size == tls::TicketKeys::kFileBytes));
  // With itself as its OCSP response, which it is not.
  failure = {};
  FUZZ_CHECK(tls::Certificate::make({.certificate_pem = content, .key_pem = content, .ocsp_der = content}, failure) ==
             nullptr);
  FUZZ_CHECK(!failure.why.empty());
  const auto made = tls::Certificate::make({.certificate_pem = content, .key_pem = content, .ocsp_der = {}}, failure);
  FUZZ_CHECK(made == nullptr || (has_certificates && has_key));
  return 0;
}
