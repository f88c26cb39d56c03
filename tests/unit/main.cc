// The one translation unit with Catch's main; every unit test links it.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
