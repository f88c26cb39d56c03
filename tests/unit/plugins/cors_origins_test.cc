#include <catch2/catch.hpp>

#include "cors/origins.h"

using sluice::cors::Origins;

namespace {

Origins origins(std::initializer_list<const char*> patterns) {
  Origins made;
  for (const char* pattern : patterns) REQUIRE(made.add(pattern) == "");
  made.sort();
  return made;
}

}  // namespace

TEST_CASE("an exact origin allows itself alone") {
  const Origins some = origins({"https://b.example", "https://app.example.com", "HTTP://Dev.Example:8080",
                                "http://[::1]:3000", "chrome-extension://abcdef"});
  for (const char* allowed : {"https://b.example", "https://app.example.com", "http://dev.example:8080",
                              "http://[::1]:3000", "chrome-extension://abcdef"})
    CHECK(some.allows(allowed));
  for (const char* refused :
       {"", "null", "https://app.example.co", "https://app.example.com.evil.com", "http://app.example.com",
        "https://app.example.com:444", "https://app.example.com/", "https://evil-app.example.com", "app.example.com",
        "http://dev.example", "https://x.app.example.com"}) {
    CAPTURE(refused);
    CHECK_FALSE(some.allows(refused));
  }
}

TEST_CASE("a wildcard allows the subdomains at any depth, and nothing that only ends or begins alike") {
  const Origins some = origins({"https://*.example.com", "http://*.dev.example:8080"});
  for (const char* allowed :
       {"https://a.example.com", "https://a.b.example.com", "https://a-b.example.com", "http://a.dev.example:8080"})
    CHECK(some.allows(allowed));
  for (const char* refused :
       {"https://example.com", "https://.example.com", "https://evil-example.com", "https://evilexample.com",
        "https://a.example.com.evil.com", "http://a.example.com", "http://long-name.example.com",
        "https://a.example.com:8443", "https://evil.com/.example.com", "https://evil.com:80.example.com",
        "https://evil.com#.example.com", "https://user@a.example.com", "https://evil.com\\.example.com",
        "https://evil.com?.example.com", "https://a b.example.com", "https://..example.com", "https://A.example.com",
        "http://a.dev.example", "http://a.dev.example:80800"}) {
    CAPTURE(refused);
    CHECK_FALSE(some.allows(refused));
  }
}

TEST_CASE("a star allows any origin, even the one of sandboxed pages") {
  const Origins any = origins({"*"});
  CHECK(any.any());
  CHECK(any.allows("https://anyone.example"));
  CHECK(any.allows("null"));
  CHECK_FALSE(origins({"https://*.example.com"}).any());
}

TEST_CASE("what is no origin is refused with the reason") {
  Origins none;
  for (const char* wrong : {"",
                            "null",
                            "example.com",
                            "https://",
                            "https://*",
                            "https://*.",
                            "https://a.*.com",
                            "https://*a.com",
                            "https://**.com",
                            "https://a.com/",
                            "https://a.com/path",
                            "https://a.com:",
                            "https://a.com:0",
                            "https://a.com:080",
                            "https://a.com:65536",
                            "https://a.com:443",
                            "http://a.com:80",
                            "https://*.a.com:443",
                            "https://a b.com",
                            "https://u@a.com",
                            "://a.com",
                            "1http://a.com",
                            "https://.a.com",
                            "https://a.com.",
                            "https://[::1",
                            "https://a.com:1:2"}) {
    CAPTURE(wrong);
    CHECK(none.add(wrong) != "");
    none.sort();
    CHECK_FALSE(none.allows(wrong));
  }
}
