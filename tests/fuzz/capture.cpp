// What tcpdump prints, read, checked and drawn.
#include "fuzz.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto capture = fuzz::capture_of({reinterpret_cast<const char*>(data), size});
    for (auto& connection : capture.connections) {
        auto events = lab::Events(connection).all();
        lab::Automaton("C:SYN S:SYN+ACK* C:ACK? ... { C:(*) S:(3+)? } ... C:FIN S:FIN+ACK", connection, events).run();
    }
    fuzz::draw(capture, {});
    return 0;
}
