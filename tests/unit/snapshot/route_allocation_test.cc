// Matching allocates nothing. Under AddressSanitizer every malloc of the process is counted, PCRE2's too; in other
// builds only operator new, which is all that our own code uses.
#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <new>

#include "routes.h"

namespace {
std::atomic<size_t> allocations{0};
}

#if defined(__has_feature)  // clang's way to say what GCC says by __SANITIZE_ADDRESS__
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
// GCC ships the function but not the header.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*, size_t),
                                                         void (*on_free)(const volatile void*));
namespace {
void on_malloc(const volatile void*, size_t) { ++allocations; }
void on_free(const volatile void*) {}
const int installed = __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}  // namespace
#else
void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
#endif

using namespace sluice;
using namespace sluice::snapshot;
using test::Route;

TEST_CASE("matching allocates nothing, whatever it finds") {
  const RouteTable table = RouteTable::build(std::vector<RouteSpec>{
      Route("/users/{id:int}"), Route("/users/{key:uuid}"), Route("/users/{word:([a-z]+)+}/keys/{key}"),
      Route("/users/{name}").header("x-a", "1").query("v", "1"),
      Route("/users/{path...}").methods({http::Method::POST}), Route("/").hosts({"a.test", "*.a.test"})});
  std::vector<http::HeaderField> fields{{"X-A", "1"}};
  const http::HeaderMap headers(fields);
  RouteMatch match;
  const auto find_all = [&] {
    for (const std::string_view path : {"/", "/users/7", "/users/abc", "/users/abc/keys/1", "/users/abc/keys/",
                                        "/users/x/y/z", "/none", "/users/123e4567-e89b-12d3-a456-426614174000",
                                        "/users/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1/keys/1"}) {
      for (const std::string_view host : {"A.Test.", "b.a.test", "other", ""}) {
        table.find({.host = host, .path = path, .query = "u=2&v=%31", .headers = &headers}, match);
      }
    }
  };
  find_all();  // a thread's first expression makes its match memory
  const size_t before = allocations;
  REQUIRE(before > 0);  // the counting works
  find_all();
  CHECK(allocations == before);
}
