"""Where the API shows etcd's members: told by the application, as a collector knows no Situation."""

from situation.situation import Situation


class EtcdWishes:
    """Told once a second what is known of the cluster; etcd's static pods are looked for in it."""

    def tell(self, situation: Situation) -> None:
        """Take in what is known now."""
