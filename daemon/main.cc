#include <cstdio>
#include <cstring>
#include "cli/run.h"
#include "control/compile.h"
int main(int argc, char** argv) {
  auto r = sluice::control::compile_file(argv[argc-1]);
  for (auto& e : r.errors) std::fprintf(stderr, "%s:%d:%d: %s\n", "x", 0, 0, e.message.c_str());
  if (!r.snapshot) return 3;
  return sluice::cli::run_gateway(r.snapshot, {"dev"});
}
