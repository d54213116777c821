"""The gateway: pages for members, residents and community workers, and the door for integrators. It learns everything from Kafka, and says everything there."""
