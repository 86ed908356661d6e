"""What is handed out: wheel and sdist, the image's recipe, Compose and Kubernetes manifests."""
