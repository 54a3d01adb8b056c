// What the programs of this suite log, beside one connection.
#include "fuzz.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::observe({reinterpret_cast<const char*>(data), size});
    return 0;
}
