// Origins: which web origins may read answers: exact ones, all subdomains of a domain, or any. Built by the configuration, then
// immutable; asked on the worker's thread, without allocating.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice::cors {

class Origins {
 public:
  /// "https://app.example.com", "https://*.example.com" (subdomains at any depth, not example.com itself) or "*". Returns what
  /// is wrong with it, for a person; empty if it was added.
  [[nodiscard]] std::string add(std::string_view pattern);
  /// After the last add().
  void sort();

  [[nodiscard]] bool any() const { return any_; }
  /// `origin`: the field's value as browsers write it (RFC 6454 §6.2): lower case, no default port. Anything else is refused.
  [[nodiscard]] bool allows(std::string_view origin) const;

 private:
  struct Subdomains {
    std::string scheme;  // "https://"
    std::string suffix;  // ".example.com", with ":8443" if the pattern has a port
  };

  std::vector<std::string> exact_;
  std::vector<Subdomains> subdomains_;
  bool any_ = false;
};

}  // namespace sluice::cors
