#include "filter/module.h"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>

#include "../test_folder.h"

namespace sluice::filter {
namespace {

const std::string kFolder = SLUICE_TEST_PLUGINS;

std::string refusal_of(const std::string& folder, const std::string& name) {
  std::string error;
  CHECK(Module::load(folder, name, error) == nullptr);
  return error;
}

TEST_CASE("a module that keeps to the interface is loaded, with what it says of itself") {
  std::string error;
  const auto module = Module::load(kFolder, "probe", error);
  REQUIRE(error.empty());
  CHECK(std::string_view(module->plugin().version) == "1");
  CHECK(module->plugin().on_request != nullptr);
  CHECK(module->plugin().start_worker != nullptr);
}

TEST_CASE("a table of a later release is read as far as it is known") {
  std::string error;
  const auto module = Module::load(kFolder, "later", error);
  REQUIRE(error.empty());
  CHECK(std::string_view(module->plugin().version) == "9");
  CHECK(module->plugin().on_complete == nullptr);
}

TEST_CASE("what cannot be used is refused in words that tell why") {
  const auto file = [](const std::string& name) { return kFolder + "/sluice_" + name + ".so"; };
  CHECK(refusal_of(kFolder, "nothing-of-that-name") == "there is no " + file("nothing-of-that-name"));
  CHECK(refusal_of(kFolder, "future") ==
        file("future") +
            " is not used: it was built for plugin interface 2, and this gateway speaks 1: build it with the "
            "header of this release");
  CHECK(refusal_of(kFolder, "short") == file("short") +
                                            " is not used: its table has 24 bytes, fewer than the 104 of the oldest "
                                            "interface: it is damaged");
  CHECK(refusal_of(kFolder, "misnamed") == file("misnamed") + " is not used: it says that it is the module \"else\"");
  CHECK(refusal_of(kFolder, "silent") == file("silent") + " is not used: it does not export sluice_plugin");
}

TEST_CASE("a file that is no shared object is refused") {
  const TestFolder folder;
  std::ofstream(folder.path("sluice_text.so")) << "not an ELF file";
  CHECK(refusal_of(folder.path(), "text").find("cannot be loaded: ") != std::string::npos);
}

TEST_CASE("a rebuilt file is another one, and the names in a folder are those of its modules") {
  const TestFolder folder;
  std::ofstream(folder.path("sluice_a.so")) << "1";
  std::ofstream(folder.path("sluice_.so")) << "no name";
  std::ofstream(folder.path("b.so")) << "no prefix";
  const FileIdentity before = FileIdentity::of(folder.path("sluice_a.so"));
  std::ofstream(folder.path("sluice_a.so.new")) << "2";
  std::filesystem::rename(folder.path("sluice_a.so.new"), folder.path("sluice_a.so"));
  CHECK_FALSE(before == FileIdentity::of(folder.path("sluice_a.so")));
  CHECK(Module::names_in(folder.path()) == std::vector<std::string>{"a"});
}

}  // namespace
}  // namespace sluice::filter
