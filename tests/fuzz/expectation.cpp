// What is expected of a connection, in wire's notation.
#include "fuzz.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) try {
    const lab::Connection& connection = fuzz::echo().connections[0];
    auto events = lab::Events(connection).all();
    lab::Automaton({reinterpret_cast<const char*>(data), size}, connection, events).run();
    return 0;
} catch (const lab::Bad_token&) { return 0; }
