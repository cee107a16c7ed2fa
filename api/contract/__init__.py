"""The contract with clients: OpenAPI, AsyncAPI, TypeScript."""
