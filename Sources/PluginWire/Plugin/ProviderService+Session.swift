internal import GRPCCore

/// Wrap and unwrap as messages of one call that stays open.
extension ProviderService {
    /// Answers the requests of a session until the host has no more, or the program is to end.
    func session(
        request: RPCAsyncSequence<Keyturn_Provider_V1_SessionRequest, any Error>,
        response: RPCWriter<Keyturn_Provider_V1_SessionResponse>, context: ServerContext
    ) async throws {
        let places = SessionPlaces()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await answerAll(request, over: response, context, places) }
            group.addTask {
                try await context.cancellation.cancelled
                await places.close()
            }
            // What is in hand is answered by then; only a reader that waits for more is cancelled.
            try await group.next()
            group.cancelAll()
        }
    }

    private func answerAll(
        _ requests: RPCAsyncSequence<Keyturn_Provider_V1_SessionRequest, any Error>,
        over responses: RPCWriter<Keyturn_Provider_V1_SessionResponse>, _ context: ServerContext,
        _ places: SessionPlaces
    ) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            var last: UInt64 = 0
            for try await request in requests {
                guard request.id > last else {
                    throw RPCError(code: .invalidArgument, message: "request \(request.id) comes after \(last)")
                }
                last = request.id
                guard await places.take() else { return }
                group.addTask {
                    defer { places.giveBack() }
                    try await responses.write(await answer(request, context))
                }
            }
        }
    }

    private func answer(
        _ request: Keyturn_Provider_V1_SessionRequest, _ context: ServerContext
    ) async -> Keyturn_Provider_V1_SessionResponse {
        var response = Keyturn_Provider_V1_SessionResponse()
        response.id = request.id
        do {
            switch request.request {
            case .wrap(let request): response.wrap = try await wrap(request: request, context: context)
            case .unwrap(let request): response.unwrap = try await unwrap(request: request, context: context)
            case nil: throw RPCError(code: .unimplemented, message: "a request of this kind is not known")
            }
        } catch {
            let status = error as? RPCError ?? RPCError(code: .unknown, message: "it failed for no known reason")
            response.failure = Keyturn_Provider_V1_Failure(status)
        }
        return response
    }
}
